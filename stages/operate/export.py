"""The networks of a packaged recogniser, or of a registered one, as ONNX."""

from dataclasses import dataclass
from pathlib import Path

from stages.operate.recognise import default_model, model_folder
from tsn.names import shown
from tsn.recogniser.export import RUN, export_streams

NO_FRAMES = "no stream of frames, so no script; docs/recognising.md says how flow is made"


@dataclass(frozen=True, kw_only=True)
class Options:
    """model: as in `recognise`. out: the folder to write. modalities: all unless some are named."""

    model: str | None
    out: Path
    modalities: tuple[str, ...] = ()


def main(options: Options) -> None:
    with model_folder(options.model or default_model()) as folder:
        for name, difference in export_streams(folder, options.out, options.modalities):
            size = (options.out / f"{name}.onnx").stat().st_size
            print(
                f"{name}: {size / 1e6:.1f} MB, its scores those of the recogniser to "
                f"{difference:.1g}",
                flush=True,
            )
    script = options.out / RUN
    how = f"python {shown(script)} clip.mov" if script.is_file() else NO_FRAMES
    print(f"{shown(options.out)}: {how}")

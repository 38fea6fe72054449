"""look: videos as the networks see them: frame, RGB difference, flow and warped flow side by side.

Draws the paper's Figure 2 with the settings of a recipe, and says what was measured: a few moments
of one video file, or one moment of a few videos of a folder. As a stage it does so for the dataset;
the report shows the picture and the run of the dataset's mean holds it.
"""

from dataclasses import dataclass
from pathlib import Path

from stages.runtime import command, params, provenance
from stages.runtime.machine import read_machine
from stages.runtime.options import StageOptions, input_path, option, output_path
from tsn.drawing.image import write_image
from tsn.drawing.modality_sheet import modality_sheet
from tsn.flow.moments import describe
from tsn.modality import modality
from tsn.sources.folder import find_videos, tell_left_out
from tsn.streams.moments import moments_of_folder, moments_of_video
from tsn.streams.table import STREAMS, FramesConfig


@dataclass(frozen=True, kw_only=True)
class Options(StageOptions):
    recipe_sections = ("extract",)

    dataset: str = option("a recipe: recipes/<dataset>.yaml")
    videos: Path = input_path("a video file, or a folder of <class>/<clip>")
    rows: int = option("moments, or videos", default=4, choices=range(1, 33), metavar="1..32")
    out: Path = output_path("the picture, a PNG")


def main(options: Options) -> None:
    config = read_config(params.load_recipe(options.dataset))
    limits = read_machine().reading
    bound = getattr(config, "bound", 0.0)
    worker_code = Path("tsn/flow").glob("tvl1*.py")  # which this process does not import
    with provenance.unchanged(options, worker_code):
        if options.videos.is_file():
            moments = moments_of_video(options.videos, config, options.rows, limits)
        else:
            videos, left_out = find_videos(options.videos)
            tell_left_out(left_out)
            moments = moments_of_folder(options.videos, videos, config, options.rows, limits)
        if not moments:
            raise ValueError(f"{options.videos}: no video with two frames that can be read")
        write_image(options.out, modality_sheet(moments, bound))
    for moment in moments:
        print(describe(moment, bound))
    print(f"look: {options.out}")


def read_config(recipe: params.Settings) -> FramesConfig:
    """Return how the recipe extracts the stream that shows most."""
    order = list(STREAMS)  # each shows what those before it do, and more
    extracted = params.find(recipe, "extract")
    name = max(extracted, key=lambda name: order.index(modality(name).stream))
    config = STREAMS[modality(name).stream].config_class
    return params.section(recipe, f"extract.{name}", config)


if __name__ == "__main__":
    command.run(__doc__, Options, main)

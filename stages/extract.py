"""extract: what a modality reads (frames, flow, warped flow), one file per video.

Modalities of one stream share its files: the store below DVC computes each once. Other machines
can have filled it before (`stages/operate/fill.py`); then the files are only put in place.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from stages.runtime import command, params, provenance
from stages.runtime.gpu_slots import ALL
from stages.runtime.machine import Machine, count_cores, lease_gpus, read_machine
from stages.runtime.options import StageOptions, input_path, option, output_path
from stages.runtime.places import STORE
from tsn.files import write_csv
from tsn.lists import read_names
from tsn.modality import modality
from tsn.streams.archives import OK, write_manifest
from tsn.streams.extraction import Extracted, ExtractionJob, extract_stream
from tsn.streams.table import STREAMS, Acceptance, FramesConfig, WorkerDevice, uses_gpu
from tsn.workers.pool import WorkerError

# A thread decodes 1,100 frames of 320x240 a second, less than a GPU computes pairs of; and while
# one worker opens a video or writes its end, the other's flow is computed.
_WORKERS_PER_GPU = 2


@dataclass(frozen=True, kw_only=True)
class Options(StageOptions):
    recipe_sections = ("extract.{modality}", "accept")

    dataset: str = option("a recipe: recipes/<dataset>.yaml")
    modality: str = option("rgb, rgb_diff, flow or warped_flow")
    videos: Path = input_path("folder of <class>/<clip>")
    list: Path = input_path("the videos to take, one a line")
    out: Path = output_path("archives and manifest.csv")
    quarantine: Path = output_path("video,reason")


def main(options: Options) -> None:
    text = f"extract {options.dataset} {options.modality}"
    worker_code = Path("tsn/flow").glob("tvl1*.py")  # which this process does not import
    with provenance.unchanged(options, worker_code):
        videos = read_names(options.list)
        job = make_job(options.dataset, options.modality, options.videos, videos, STORE)
        records = follow(extract_stream(job, options.out), len(videos), text)
        write_manifest([record.row for record in records], options.out)
        write_quarantine(options.quarantine, records)
    print(summary(text, records))


def make_job(
    dataset: str, name: str, folder: Path, videos: Sequence[str], store: Path
) -> ExtractionJob:
    """Return the extraction of a modality's stream as the recipe has it, on this machine."""
    recipe = params.load_recipe(dataset)
    stream = STREAMS[modality(name).stream]
    config = params.section(recipe, f"extract.{name}", stream.config_class)
    machine = read_machine()
    return ExtractionJob(
        stream=stream,
        config=config,
        accept=params.section(recipe, "accept", Acceptance),
        videos_dir=folder,
        videos=videos,
        store_dir=store,
        devices=choose_devices(config, machine),
        limits=machine.reading,
    )


def choose_devices(config: FramesConfig, machine: Machine) -> list[WorkerDevice]:
    """Return two workers per GPU that is free, if the stream can use one, or `workers` cores."""
    num_gpus = lease_gpus(machine, 1, ALL) if uses_gpu(config) else 0
    if num_gpus:
        num_workers = _WORKERS_PER_GPU * num_gpus
        threads = max(1, count_cores() // num_workers)
        gpus = [f"cuda:{index % num_gpus}" for index in range(num_workers)]
        return [WorkerDevice(name=gpu, threads=threads) for gpu in gpus]
    return [WorkerDevice(name="cpu", threads=1)] * max(machine.workers, 1)


def follow(extraction: Iterator[Extracted], num_videos: int, text: str) -> list[Extracted]:
    """Return its records, with a progress bar; an error of a worker says what was not lost."""
    try:
        return list(command.progress(extraction, total=num_videos, unit="video", text=text))
    except WorkerError as error:
        raise OSError(f"{error}\nWhat was finished is in the store: run it again") from error


def write_quarantine(path: Path, records: Iterable[Extracted]) -> None:
    """Write the videos that were set aside, and why: what the report tells of a stream."""
    rows = sorted((r.row.video, r.row.reason) for r in records if r.row.status != OK)
    write_csv(path, ("video", "reason"), rows)


def summary(text: str, records: list[Extracted]) -> str:
    """Say what was extracted, what came from the store, and what was set aside and why."""
    good = [record for record in records if record.row.status == OK]
    entries = sum(record.row.entries for record in good)
    stored = sum(record.from_store for record in records)
    lines = [f"{text}: {len(good)} videos, {entries} entries, {stored} from the store"]
    unsupported = sum(record.num_unsupported for record in good)
    if unsupported:
        lines.append(
            f"  {unsupported} of {entries} pairs ({unsupported / entries:.1%}) kept their camera "
            "motion: no homography was found"
        )
    short = [record.row for record in good if record.row.missing]
    if short:
        worst = max(short, key=lambda row: row.missing / (row.entries + row.missing))
        lines.append(
            f"  {len(short)} videos have fewer frames than their files count, most of all "
            f"{worst.video}: {worst.missing} are missing"
        )
    lines += [f"  quarantined {r.row.video}: {r.row.reason}" for r in records if r not in good]
    return "\n".join(lines)


if __name__ == "__main__":
    command.run(__doc__, Options, main)

"""speed: frames a second of each row of a dataset's results, on this machine, as a study asks.

A few test videos are decoded, extracted and scored one by one, as `tsn.scoring.speed` says. What
was measured before of the same networks, recipe, code and machine is kept.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from stages.extract import make_job
from stages.reporting.study_speed import Speed, read_speed, shown_speed
from stages.runtime import command, params
from stages.runtime.computer import describe_computer
from stages.runtime.machine import Machine, choose_device, read_machine
from stages.runtime.options import StageOptions, option, output_path
from stages.runtime.places import STORE, DatasetPaths
from stages.tracking.made import code_tags
from tsn.files import json_sha256, write_json
from tsn.lists import TEST, read_list
from tsn.model.checkpoint import load_card
from tsn.scoring.fusion import FusionConfig
from tsn.scoring.settings import ScoringConfig
from tsn.scoring.speed import time_method
from tsn.streams.extraction import ExtractionJob

if TYPE_CHECKING:
    import torch

NUM_VIDEOS = 6  # the first of them warms up


@dataclass(frozen=True, kw_only=True)
class Options(StageOptions):
    dataset: str = option("a recipe: recipes/<dataset>.yaml")
    split: int = option("the split whose networks and test videos are taken")
    out: Path = output_path("the speeds, as JSON")


def main(options: Options) -> None:
    paths = DatasetPaths(options.dataset)
    recipe = params.load_recipe(options.dataset)
    modalities = params.section(params.load(), "modalities", tuple[str, ...])
    testing = params.section(recipe, "score", ScoringConfig)
    rows = params.section(recipe, "fusion", FusionConfig).rows(modalities)
    machine = read_machine()
    device = choose_device(machine)  # before extraction leases every GPU there is
    listed = [row.video for row in read_list(paths.splits / str(options.split) / TEST)]
    videos = some_of(listed)
    jobs = {}
    for name in modalities:
        job = make_job(options.dataset, name, paths.videos, videos, STORE)
        jobs[name] = replace(job, devices=job.devices[:1])
    models = {name: paths.models / str(options.split) / name for name in modalities}
    where = describe_device(device, machine)
    key = measured_key(jobs, models, testing, where, rows)
    with suppress(OSError, ValueError):
        if read_speed(options.out).key == key:
            print(f"speed of {options.dataset} split {options.split}: measured before")
            return
    times = time_method(jobs, models, testing, device=device)
    speeds = {name: times.frames_per_second(weights) for name, weights in rows.items()}
    found = Speed(key=key, device=where, videos=times.videos, frames_per_second=speeds)
    write_json(options.out, asdict(found))
    for name, value in speeds.items():
        print(f"{name}: {shown_speed(value)} frames/s on {where}")


def some_of(videos: Sequence[str]) -> list[str]:
    """Return a few videos, from all over the list."""
    number = min(NUM_VIDEOS, len(videos))
    return [videos[index * len(videos) // number] for index in range(number)]


def describe_device(device: "torch.device", machine: Machine) -> str:
    """Return what computes, in words; of a CPU, how many threads a network takes."""
    if device.type == "cuda":
        import torch

        torch.zeros((), device=device)  # or its name is not known yet
        return describe_computer()["device"]
    threads = f"{machine.threads} thread{'s' if machine.threads > 1 else ''}"
    return f"{describe_computer()['device']}, {threads}"


def measured_key(
    jobs: Mapping[str, ExtractionJob],
    models: Mapping[str, Path],
    testing: ScoringConfig,
    device: str,
    rows: Mapping[str, Mapping[str, float]],
) -> str:
    """Return a digest of what speeds depend on: networks, streams, videos, code and machine."""
    return json_sha256(
        [
            {name: load_card(path).fingerprint for name, path in models.items()},
            {name: [job.stream.name, asdict(job.config)] for name, job in jobs.items()},
            next(iter(jobs.values())).videos,
            asdict(testing),
            {name: list(weights) for name, weights in rows.items()},
            [device, code_tags().get("git.commit")],
        ]
    )


if __name__ == "__main__":
    command.run(__doc__, Options, main)

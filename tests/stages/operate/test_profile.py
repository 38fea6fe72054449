"""What `tsn profile` says of a measured training, and the training runs that it cannot find."""

from dataclasses import replace
from pathlib import Path

import pytest

from stages.operate import profile
from tsn.training.profile import PartTime, TrainingProfile
from tsn.training.solver import PARTS

SECONDS = dict(zip(PARTS, (0.02, 0.01, 0.05, 0.1, 0.02), strict=True))


def measured(readers: int, gpu: float = 0.0) -> TrainingProfile:
    """A training whose parts take 200 ms, and its GPU `gpu` seconds of each."""
    parts = {name: PartTime(process=seconds, gpu=gpu) for name, seconds in SECONDS.items()}
    return TrainingProfile(iteration=0.25, parts=parts, read=0.005, videos=16, readers=readers)


def test_a_table_by_hand() -> None:
    assert list(profile.table(measured(readers=2))) == [
        "part             ms   share",
        "load           20.0   10.0%  wait for the readers",
        "transfer       10.0    5.0%  to the device, as floats",
        "forward        50.0   25.0%  network and loss",
        "backward      100.0   50.0%  gradients",
        "update         20.0   10.0%  clip and step",
        "An iteration of 16 videos takes 250.0 ms without the profiler: 64.0 videos/s.",
        "To read a video takes 5.0 ms of a core: 2 readers of their own can give 400 videos/s.",
        "The readers keep up.",
    ]


def test_a_gpu_has_a_column_and_a_share() -> None:
    found = measured(readers=0, gpu=0.03)
    head, first, *_, last = profile.table(found)
    assert head.endswith("share   GPU ms") and first.split()[:4] == [
        "load",
        "20.0",
        "10.0%",
        "30.0",
    ]
    assert last == "The training reads itself: see machine.workers of params.yaml."
    assert profile.metrics(found)["time/gpu_busy"] == pytest.approx(0.75)
    assert "time/gpu_busy" not in profile.metrics(measured(readers=0))


@pytest.mark.parametrize(("split", "modality"), [(9, "rgb"), (1, "flow")])
def test_a_training_that_no_cell_makes_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, split: int, modality: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text("splits: [1, 2]\nmodalities: [rgb]\n")
    options = profile.Options(
        dataset="toy", split=split, modality=modality, iterations=1, out=tmp_path
    )
    with pytest.raises(ValueError, match=f"no training of split {split}, {modality}: params.yaml"):
        profile.inputs_of(options)
    with pytest.raises(FileNotFoundError, match="make it: tsn repro extract@toy-rgb"):
        profile.inputs_of(replace(options, split=1, modality="rgb"))

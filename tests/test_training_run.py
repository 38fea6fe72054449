"""A training killed and resumed is the training that was never killed, bit for bit."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from stages import training_run
from stages.machine import Machine
from stages.training_run import Training, complete
from tsn.modality import modality
from tsn.network import LearningRateMultipliers, NetworkConfig, build_network
from tsn.snippets import Augmentation, TrainingSnippets, listed_clips
from tsn.solver import Iteration, SolverConfig
from tsn.splits import ListedVideo
from tsn.training import TrainingConfig, network_optimizer, train

MACHINE = Machine(device="cpu", threads=1, workers=0, checkpoint_seconds=-1.0)  # save every step
CONFIG = TrainingConfig(
    seed=5,
    input_size=32,
    network=NetworkConfig(
        backbone="bn_inception_quarter",
        consensus="weighted_average",
        num_segments=2,
        dropout=0.5,
        partial_bn=True,
    ),
    augmentation=Augmentation(crop_scales=(1.0, 0.8), crop_positions=13, mirror=True),
    solver=SolverConfig(
        iterations=4,
        batch_size=2,
        micro_batch=1,
        base_lr=0.1,
        lr_steps=(1, 3),
        lr_factor=0.1,
        momentum=0.9,
        weight_decay=5e-4,
        clip_norm=20.0,
    ),
    lr_multipliers=LearningRateMultipliers(bias=2.0, first_conv_weight=5.0, first_conv_bias=10.0),
)


@dataclass
class FakeRun:
    """Remembers the steps it was given, and is killed when it is given `killed_at`."""

    killed_at: int | None = None
    steps: list[int] = field(default_factory=list)

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        if step == self.killed_at:
            raise KeyboardInterrupt
        assert step is not None
        self.steps.append(step)


@pytest.fixture(scope="module")
def snippets(tmp_path_factory: pytest.TempPathFactory, write_stream: Callable) -> TrainingSnippets:
    generator = np.random.default_rng(1)
    videos = {
        f"{name}/v.avi": generator.integers(0, 256, (12, 32, 40, 2), dtype=np.uint8)
        for name in "abc"
    }
    stream = write_stream(tmp_path_factory.mktemp("flow"), videos)
    listed = [ListedVideo(video, label, "g", ()) for label, video in enumerate(videos)]
    clips, _ = listed_clips(listed, stream, modality("flow"))
    return TrainingSnippets(
        clips,
        modality("flow"),
        num_segments=2,
        input_size=32,
        augmentation=CONFIG.augmentation,
        seed=CONFIG.seed,
    )


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@dataclass
class Outcome:
    log: list[dict[str, float]]
    weights: dict[str, torch.Tensor]
    training: Training
    kept: list[Path]


def attempt(
    snippets: TrainingSnippets,
    run: FakeRun,
    *,
    machine: Machine = MACHINE,
    fingerprint: str = "f00d",
) -> Outcome:
    """One process's worth of the train stage, from building the network on."""
    torch.rand(3)  # the state of the global generator is nobody's business
    network = build_network(
        CONFIG.network,
        in_channels=10,
        num_classes=3,
        generator=torch.Generator().manual_seed(CONFIG.seed),
    )
    network.to(memory_format=torch.channels_last)
    optimizer = network_optimizer(network, modality("flow"), CONFIG)
    training = Training(network, optimizer, fingerprint, CONFIG.solver.iterations, machine)

    def iterations(start: int) -> Iterator[Iteration]:
        device = torch.device("cpu")
        return train(network, optimizer, snippets, CONFIG, device=device, workers=0, start=start)

    log = complete(training, iterations, run, text="train")
    return Outcome(log, network.state_dict(), training, kept_files())


def kept_files() -> list[Path]:
    return [path for path in Path().rglob("*") if path.is_file()]


@pytest.fixture(scope="module")
def uninterrupted(snippets: TrainingSnippets, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("uninterrupted"))
        return attempt(snippets, FakeRun(), machine=replace(MACHINE, checkpoint_seconds=3600.0))


def test_finished_training_is_kept_until_its_stage_has_ended(uninterrupted: Outcome) -> None:
    """A stage can still be refused after its last iteration: that must not cost the training."""
    assert [path.name for path in uninterrupted.kept] == ["f00d.safetensors"]
    assert [row["iteration"] for row in uninterrupted.log] == [0, 1, 2, 3]
    assert [row["lr"] for row in uninterrupted.log] == pytest.approx([0.1, 0.01, 0.01, 0.001])


@pytest.mark.parametrize("kills", [[3], [1, 2, 3]])
def test_killed_and_resumed_is_uninterrupted(
    snippets: TrainingSnippets,
    uninterrupted: Outcome,
    capsys: pytest.CaptureFixture[str],
    kills: list[int],
) -> None:
    for killed_at in kills:
        with pytest.raises(KeyboardInterrupt):
            attempt(snippets, FakeRun(killed_at))
    last = FakeRun()
    resumed = attempt(snippets, last)
    assert last.steps == [3]
    assert "train: going on after iteration 3 of 4" in capsys.readouterr().out
    assert resumed.log == uninterrupted.log
    differing = [
        name
        for name, tensor in uninterrupted.weights.items()
        if not torch.equal(resumed.weights[name], tensor)
    ]
    assert differing == []


def test_finished_training_is_not_trained_further_until_it_is_forgotten(
    snippets: TrainingSnippets, uninterrupted: Outcome
) -> None:
    attempt(snippets, FakeRun())
    nothing = FakeRun()
    again = attempt(snippets, nothing)
    assert nothing.steps == []
    assert len(again.log) == len(uninterrupted.log)
    assert again.kept == [training_run.PROGRESS / "f00d.safetensors"]
    again.training.forget()
    again.training.forget()
    assert kept_files() == []


def test_other_fingerprint_starts_at_the_beginning(snippets: TrainingSnippets) -> None:
    for fingerprint in ("f00d", "beef"):
        run = FakeRun(killed_at=1)
        with pytest.raises(KeyboardInterrupt):
            attempt(snippets, run, fingerprint=fingerprint)
        assert run.steps == [0]

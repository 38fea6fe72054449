"""A training killed and resumed is the training that was never killed, bit for bit."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import torch

from stages.runtime import training_run
from stages.runtime.machine import Machine
from stages.runtime.training_run import SavedTraining, complete
from tsn.model.network import build_network
from tsn.snippets.dataset import TrainingSnippets
from tsn.training.settings import TrainingConfig
from tsn.training.solver import Iteration, Training
from tsn.training.start import network_training

MACHINE = Machine(
    device="cpu", processes=1, threads=1, workers=0, checkpoint_seconds=-1.0
)  # save every step


@dataclass
class FakeRun:
    """Remembers the iterations it was told of, and is killed when it is told of `killed_at`.

    Metrics that are told once a second of wall time are not remembered: on a busy machine there
    are some, and on an idle one there are none.
    """

    killed_at: int | None = None
    steps: list[int] = field(default_factory=list)
    series: dict[str, list[tuple[int, float]]] = field(default_factory=dict)

    def log_series(self, series: dict[str, list[tuple[int, float]]]) -> None:
        self.series |= series

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        if "train/loss" not in metrics:
            return
        if step == self.killed_at:
            raise KeyboardInterrupt
        assert step is not None
        self.steps.append(step)


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@dataclass
class Outcome:
    log: list[Iteration]
    weights: dict[str, torch.Tensor]
    saved: SavedTraining
    kept: list[Path]


Attempt = Callable[..., Outcome]


@pytest.fixture(scope="module")
def attempt(tiny_training: TrainingConfig, tiny_snippets: TrainingSnippets) -> Attempt:
    """One process's worth of the train stage, from building the network on."""

    def attempt(run: FakeRun, *, machine: Machine = MACHINE, fingerprint: str = "f00d") -> Outcome:
        return run_training(tiny_training, tiny_snippets, run, machine, fingerprint)

    return attempt


def run_training(
    config: TrainingConfig,
    snippets: TrainingSnippets,
    run: FakeRun,
    machine: Machine,
    fingerprint: str,
) -> Outcome:
    torch.rand(3)  # the state of the global generator is nobody's business
    network = build_network(
        config.network,
        in_channels=10,
        num_classes=3,
        generator=torch.Generator().manual_seed(config.seed),
    )
    network.to(memory_format=torch.channels_last)
    training = network_training(network, snippets, config, device=torch.device("cpu"), workers=0)
    saved = SavedTraining("synthetic-1-flow", fingerprint)
    log = complete(training, saved, machine, run, text="train")
    return Outcome(log, network.state_dict(), saved, kept_files())


def kept_files() -> list[Path]:
    return [path for path in Path().rglob("*") if path.is_file()]


@pytest.fixture(scope="module")
def uninterrupted(attempt: Attempt, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("uninterrupted"))
        return attempt(FakeRun(), machine=replace(MACHINE, checkpoint_seconds=3600.0))


def test_finished_training_is_kept_until_its_stage_has_ended(uninterrupted: Outcome) -> None:
    """A stage can still be refused after its last iteration: that must not cost the training."""
    assert [path.name for path in uninterrupted.kept] == ["f00d.safetensors"]
    assert [row.iteration for row in uninterrupted.log] == [0, 1, 2, 3]
    assert [row.lr for row in uninterrupted.log] == pytest.approx([0.1, 0.01, 0.01, 0.001])


def test_steps_that_are_read_late_are_all_read(
    attempt: Attempt, uninterrupted: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Training, "steps_ahead", 2)
    late = FakeRun()
    outcome = attempt(late, machine=replace(MACHINE, checkpoint_seconds=3600.0))
    assert late.steps == [0, 1, 2, 3]
    assert outcome.log == uninterrupted.log


@pytest.mark.parametrize("ahead", [0, 1])  # as on the CPU, and as on a GPU
@pytest.mark.parametrize("kills", [[3], [1, 2, 3]])
def test_killed_and_resumed_is_uninterrupted(
    attempt: Attempt,
    uninterrupted: Outcome,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    kills: list[int],
    ahead: int,
) -> None:
    monkeypatch.setattr(Training, "steps_ahead", ahead)
    for killed_at in kills:
        with pytest.raises(KeyboardInterrupt):
            attempt(FakeRun(killed_at))
    last = FakeRun()
    resumed = attempt(last)
    assert last.steps == [3]
    losses = [(step, uninterrupted.log[step].loss) for step in range(3)]
    assert last.series["train/loss"] == losses  # whatever the kill kept from being logged
    assert "train: going on after iteration 3 of 4" in capsys.readouterr().out
    assert resumed.log == uninterrupted.log
    differing = [
        name
        for name, tensor in uninterrupted.weights.items()
        if not torch.equal(resumed.weights[name], tensor)
    ]
    assert differing == []


def test_finished_training_is_not_trained_further_until_it_is_forgotten(
    attempt: Attempt, uninterrupted: Outcome
) -> None:
    attempt(FakeRun())
    nothing = FakeRun()
    again = attempt(nothing)
    assert nothing.steps == []
    assert len(again.log) == len(uninterrupted.log)
    kept = training_run.PROGRESS / "synthetic-1-flow/f00d.safetensors"
    assert sorted(again.kept) == [kept, kept.with_name(f"{kept.name}.before")]
    again.saved.forget()
    again.saved.forget()
    assert kept_files() == []


def test_training_tells_how_far_it_is(attempt: Attempt, monkeypatch: pytest.MonkeyPatch) -> None:
    told = []
    monkeypatch.setattr(training_run, "STATUS_SECONDS", -1.0)
    monkeypatch.setattr(training_run.status, "report", lambda **values: told.append(values))
    log = attempt(FakeRun()).log
    assert [(row["done"], row["total"]) for row in told] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert [row["loss"] for row in told] == [row.loss for row in log]


def test_other_fingerprint_starts_at_the_beginning(attempt: Attempt) -> None:
    for fingerprint in ("f00d", "beef"):
        run = FakeRun(killed_at=1)
        with pytest.raises(KeyboardInterrupt):
            attempt(run, fingerprint=fingerprint)
        assert run.steps == [0]


def test_finished_cell_drops_what_its_killed_runs_left(attempt: Attempt) -> None:
    with pytest.raises(KeyboardInterrupt):
        attempt(FakeRun(killed_at=2), fingerprint="beef")
    finished = attempt(FakeRun())
    assert {path.name.partition(".")[0] for path in finished.kept} == {"beef", "f00d"}
    finished.saved.forget()
    assert kept_files() == []

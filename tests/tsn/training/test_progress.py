"""An interrupted training goes on as if it had not been; a log comes back to the bit."""

from dataclasses import replace
from pathlib import Path

import pytest
import small_configs
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from tsn.model.tensors import load_tensors, save_tensors
from tsn.training.progress import COLUMNS, read_log, resume, save_progress, write_log
from tsn.training.solver import Iteration, Training, make_optimizer

SOLVER = replace(
    small_configs.SOLVER, iterations=6, batch_size=4, micro_batch=2, lr_steps=(2, 4), clip_norm=1e9
)


class Points(Dataset[tuple[Tensor, int]]):
    """An endless stream of random points, item i a function of i."""

    def __getitem__(self, position: int) -> tuple[Tensor, int]:
        generator = torch.Generator().manual_seed(position)
        return torch.randn(6, generator=generator), position % 3


def small_training() -> Training:
    """A network with dropout and running statistics, before its first iteration."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Dropout(0.5), nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))
    group = {"params": list(network.parameters()), "lr_mult": 1.0, "decay_mult": 1.0}
    return Training(
        network=network,
        optimizer=make_optimizer([group], SOLVER),
        solver=SOLVER,
        seed=9,
        stream=Points(),
        normalise=lambda points: points,
        device=torch.device("cpu"),
        workers=0,
    )


def test_resumed_with_dropout_is_the_uninterrupted_run_bit_for_bit(tmp_path: Path) -> None:
    whole = small_training()
    log = list(whole.iterate(0))

    first = small_training()
    running = first.iterate(0)
    kept = [next(running) for _ in range(3)]
    save_progress(tmp_path / "p", first, "f00d", kept)
    list(running)  # what goes on after a save changes nothing of it

    torch.manual_seed(12345)
    second = small_training()
    assert resume(tmp_path / "p", second, "f00d") == kept
    assert kept + list(second.iterate(3)) == log
    expected = whole.network.state_dict()
    found = second.network.state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


def test_state_of_another_fingerprint_is_not_taken(tmp_path: Path) -> None:
    trained, fresh = small_training(), small_training()
    log = [next(trained.iterate(0))]
    before = {name: tensor.clone() for name, tensor in fresh.network.state_dict().items()}
    assert resume(tmp_path / "p", fresh, "f00d") == []
    save_progress(tmp_path / "p", trained, "f00d", log)
    assert resume(tmp_path / "p", fresh, "beef") == []
    after = fresh.network.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    assert resume(tmp_path / "p", fresh, "f00d") == log


def test_before_the_first_step_there_is_no_momentum(tmp_path: Path) -> None:
    training = small_training()
    save_progress(tmp_path / "p", training, "f00d", [])
    tensors, _ = load_tensors(tmp_path / "p")
    assert {name.partition(".")[0] for name in tensors} == {"network"}
    assert resume(tmp_path / "p", training, "f00d") == []


def test_log_comes_back_to_the_bit(tmp_path: Path) -> None:
    log = [
        Iteration(0, 0.1 + 0.2, 1 / 3, 1e-05, 12345.678),
        Iteration(1, 2.0, 0.0, 5e-324, 1e22),
    ]
    write_log(log, tmp_path / "plots/rgb.csv")
    lines = (tmp_path / "plots/rgb.csv").read_text().splitlines()
    assert lines[0] == ",".join(COLUMNS) == "iteration,loss,accuracy,lr,gradient_norm"
    assert lines[1].startswith("0,0.30000000000000004,0.333")
    assert read_log(tmp_path / "plots/rgb.csv") == log


@pytest.mark.parametrize("damage", ["empty", "short", "zeros", "other"])
def test_damaged_state_is_told_and_the_one_before_is_taken(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    path, training = tmp_path / "p", small_training()
    running, log = training.iterate(0), []
    for _ in range(2):
        log.append(next(running))
        save_progress(path, training, "f00d", log)
    whole = path.read_bytes()
    if damage == "other":
        save_tensors({"x": torch.zeros(1)}, path, {"fingerprint": "f00d", "log": "[]"})
    else:
        path.write_bytes({"empty": b"", "short": whole[:-9], "zeros": bytes(len(whole))}[damage])
    second = small_training()
    assert resume(path, second, "f00d") == log[:1]
    assert f"{path} cannot be gone on from" in caplog.text
    assert log[:1] + list(second.iterate(1)) == list(small_training().iterate(0))
    assert path.read_bytes() == (tmp_path / "p.before").read_bytes()  # kept by the next save
    for saved in (path, tmp_path / "p.before"):
        saved.unlink()
        saved.write_bytes(whole[:-9])
    assert resume(path, small_training(), "f00d") == []

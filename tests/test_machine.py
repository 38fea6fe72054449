"""The device a machine section stands for."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from stages.machine import Machine, choose_device

MACHINE = Machine(device="cpu", threads=1, workers=0, checkpoint_seconds=60.0)


@pytest.fixture
def torch_settings() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("cuda", [False, True])
@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_device_of_the_machine(
    torch_settings: None, monkeypatch: pytest.MonkeyPatch, device: str, cuda: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    chosen = choose_device(replace(MACHINE, device=device, threads=1))
    assert chosen.type == ("cuda" if cuda and device == "auto" else "cpu")
    assert torch.get_num_threads() == 1
    assert torch.are_deterministic_algorithms_enabled()


def test_machine_without_the_device_it_names_is_refused(
    torch_settings: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match=r"machine.device is cuda, but torch sees none"):
        choose_device(replace(MACHINE, device="cuda"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"device": "gpu"}, "device is auto, cpu or cuda, got 'gpu'"),
        ({"threads": 0}, "threads >= 1 and workers >= 0, got 0, 0"),
        ({"workers": -1}, "got 1, -1"),
    ],
)
def test_bad_machine_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(MACHINE, **change)

"""Named tensors on disk: complete or absent, the same bits again."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from tsn.model import tensors as tensors_module
from tsn.model.tensors import check_tensors, load_tensors, save_tensors


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_failed_save_leaves_the_file_that_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "t.safetensors"
    save_tensors({"a": torch.tensor([1.0])}, path, {})

    def fail(tensors: object, file: Path, metadata: object) -> None:
        Path(file).write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(tensors_module, "save_file", fail)
    for target in (path, tmp_path / "new.safetensors"):
        with pytest.raises(OSError, match="disk full"):
            save_tensors({"a": torch.tensor([2.0])}, target, {})
    assert [file.name for file in tmp_path.iterdir()] == ["t.safetensors"]
    assert load_tensors(path)[0]["a"].tolist() == [1.0]


def test_tensors_of_any_layout_and_type_come_back(tmp_path: Path) -> None:
    tensors = {
        "turned": torch.arange(6.0).view(2, 3).t(),
        "channels_last": torch.rand(2, 3, 4, 4).to(memory_format=torch.channels_last),
        "count": torch.tensor(7),
        "gradient": torch.ones(2, requires_grad=True),
        "half": torch.tensor([0.1], dtype=torch.bfloat16),
    }
    save_tensors(tensors, tmp_path / "t", {"note": "ü"})
    loaded, metadata = load_tensors(tmp_path / "t")
    assert equal(loaded, tensors)
    assert metadata == {"note": "ü"}


def test_tensors_that_do_not_fit_are_all_told_by_kind() -> None:
    expected = {"a": torch.zeros(2), "b": torch.zeros(3)}
    check_tensors(expected, expected, source="s")
    unexpected = [f"c{number}" for number in range(300)]
    with pytest.raises(ValueError, match="do not fit") as refusal:
        check_tensors(dict.fromkeys(("a", *unexpected), torch.zeros(1)), expected, source="s")
    assert str(refusal.value).splitlines() == [
        "s: the weights do not fit the network",
        "  1 missing: b",
        f"  300 unexpected: {', '.join(unexpected)}",
        "  1 of another shape: a is (1,), expected (2,)",
    ]

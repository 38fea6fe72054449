"""Public files of weights: every tensor accounted for, or refused by name."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from tsn.model.backbones import backbone
from tsn.model.bn_inception import BNInception, initialise
from tsn.model.tensors import load_backbone_weights, load_classifier

ROW = backbone("bn_inception")


@pytest.fixture(scope="module")
def public_file() -> dict[str, Tensor]:
    """As one circulating file: a classifier, BN tensors (1, C), no step counters."""
    network = BNInception(in_channels=3, width=1.0)
    initialise(network, torch.Generator().manual_seed(7))
    state = {
        name: tensor.unsqueeze(0) if "_bn." in name else tensor
        for name, tensor in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    return {**state, "fc.weight": torch.ones(1000, 1024), "fc.bias": torch.zeros(1000)}


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_public_file_loads_whole(
    tmp_path: Path, public_file: dict[str, Tensor], suffix: str
) -> None:
    path = tmp_path / f"bn_inception{suffix}"
    torch.save(public_file, path) if suffix == ".pth" else save_file(public_file, path)
    network = BNInception(in_channels=3, width=1.0)
    network.load_state_dict(load_backbone_weights(ROW, path), strict=True)
    loaded = network.state_dict()
    for name, tensor in public_file.items():
        if not name.startswith("fc."):
            assert torch.equal(loaded[name], tensor.reshape(loaded[name].shape))


def test_checkpoint_of_data_parallel_training_loads(
    tmp_path: Path, public_file: dict[str, Tensor]
) -> None:
    wrapped = {f"module.{name}": tensor for name, tensor in public_file.items()}
    torch.save({"epoch": 3, "state_dict": wrapped}, tmp_path / "checkpoint.pth.tar")
    torch.save(public_file, tmp_path / "plain.pth")
    loaded = load_backbone_weights(ROW, tmp_path / "checkpoint.pth.tar")
    plain = load_backbone_weights(ROW, tmp_path / "plain.pth")
    assert loaded.keys() == plain.keys()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in plain.items())


def test_file_with_other_tensors_is_refused_by_name(
    tmp_path: Path, public_file: dict[str, Tensor]
) -> None:
    path = tmp_path / "weights.pth"
    wrong = dict(public_file)
    wrong["inception_9z.weight"] = wrong.pop("inception_4c_3x3.weight")
    wrong["conv2_3x3.bias"] = torch.zeros(5)
    torch.save(wrong, path)
    with pytest.raises(ValueError, match="do not fit") as refusal:
        load_backbone_weights(ROW, path)
    message = str(refusal.value)
    assert str(path) in message
    assert "1 missing: inception_4c_3x3.weight" in message
    assert "1 unexpected: inception_9z.weight" in message
    assert "conv2_3x3.bias is (5,), expected (192,)" in message


@pytest.mark.parametrize("head", ["new_fc", "base_model.fc", "base_model.last_linear"])
def test_whole_network_has_its_classifier_where_its_port_put_it(
    tmp_path: Path, public_file: dict[str, Tensor], head: str
) -> None:
    """A port that was trained without dropout keeps it in the backbone."""
    whole = {f"base_model.{n}": t for n, t in public_file.items() if not n.startswith("fc.")}
    whole |= {f"{head}.weight": torch.full((4, 1024), 2.0), f"{head}.bias": torch.arange(4.0)}
    torch.save({"state_dict": whole}, tmp_path / "port.pth.tar")
    torch.save(public_file, tmp_path / "plain.pth")
    loaded = load_backbone_weights(ROW, tmp_path / "port.pth.tar")
    assert loaded.keys() == load_backbone_weights(ROW, tmp_path / "plain.pth").keys()
    classifier = load_classifier(ROW, tmp_path / "port.pth.tar", 4)
    assert classifier["weight"].eq(2).all() and classifier["bias"].tolist() == [0, 1, 2, 3]
    with pytest.raises(ValueError, match=r"5 classes.*\n.*bias is \(4,\), expected \(5,\)"):
        load_classifier(ROW, tmp_path / "port.pth.tar", 5)
    del whole[f"{head}.weight"], whole[f"{head}.bias"]
    torch.save(whole, tmp_path / "without.pth")
    with pytest.raises(ValueError, match="2 missing: weight, bias"):
        load_classifier(ROW, tmp_path / "without.pth", 4)


def test_learned_consensus_is_left_behind_and_said(
    tmp_path: Path, public_file: dict[str, Tensor], caplog: pytest.LogCaptureFixture
) -> None:
    ours = {f"backbone.{n}": t for n, t in public_file.items() if not n.startswith("fc.")}
    ours |= {"fc.weight": torch.zeros(4, 1024), "fc.bias": torch.zeros(4)}
    save_file(ours, tmp_path / "average.safetensors")
    load_backbone_weights(ROW, tmp_path / "average.safetensors")
    assert not caplog.messages
    path = tmp_path / "weighted.safetensors"
    save_file(ours | {"consensus.factors": torch.ones(3)}, path)
    loaded = load_backbone_weights(ROW, path)
    assert caplog.messages == [
        f"{path}: its consensus is left behind (consensus.factors); a training starts its own"
    ]
    assert not any(name.startswith("consensus") for name in loaded)


def test_unreadable_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.pth: no weight file"):
        load_backbone_weights(ROW, tmp_path / "none.pth")
    for name in ("text.pth", "text.safetensors"):
        (tmp_path / name).write_text("<html>404 not found</html>")
        with pytest.raises(ValueError, match=f"{name}: not a readable weight file"):
            load_backbone_weights(ROW, tmp_path / name)
    torch.save({"net": {"a": torch.zeros(1)}}, tmp_path / "nested.pth")
    with pytest.raises(ValueError, match="flat mapping"):
        load_backbone_weights(ROW, tmp_path / "nested.pth")
    torch.save({"a": Path("b")}, tmp_path / "pickled.pth")
    with pytest.raises(ValueError, match="not a readable weight file"):
        load_backbone_weights(ROW, tmp_path / "pickled.pth")

"""Where initial weights come from: the table, and a public weights file."""

from pathlib import Path

import pytest
import torch

from tsn.model.backbones import backbone
from tsn.sources.download import FetchError
from tsn.training.initial_weights import ScratchConfig, WeightsFileConfig, weights_from_file

QUARTER = "bn_inception_quarter"


def test_backbone_without_such_weights_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown backbone 'vgg'; valid are: bn_inception"):
        ScratchConfig(backbone="vgg")
    with pytest.raises(ValueError, match="there for bn_inception, not 'bn_inception_half'"):
        WeightsFileConfig(backbone="bn_inception_half", path="p", urls=(), sha256="")


def test_file_that_is_there_is_read_without_a_network(tmp_path: Path) -> None:
    state = backbone("bn_inception").build(3).state_dict()
    torch.save(state, tmp_path / "bn_inception.pth")
    config = WeightsFileConfig(
        backbone="bn_inception", path=str(tmp_path / "bn_inception.pth"), urls=(), sha256=""
    )
    loaded = weights_from_file(config)
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in state.items())


def test_missing_file_without_urls_is_refused(tmp_path: Path) -> None:
    config = WeightsFileConfig(
        backbone="bn_inception", path=str(tmp_path / "none.pth"), urls=(), sha256=""
    )
    with pytest.raises(FetchError, match=r"none\.pth: could not be downloaded"):
        weights_from_file(config)

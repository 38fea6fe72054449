"""Where initial weights come from: the table, and a public weights file."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small_configs import SOLVER

from tsn.model.backbones import backbone
from tsn.sources.download import FetchError
from tsn.training.initial_weights import (
    INITS,
    ScratchConfig,
    WeightsFileConfig,
    weights_from_file,
)
from tsn.training.pretext import PretextConfig
from tsn.training.solver import Training

QUARTER = "bn_inception_quarter"


def never(_prepare: object) -> None:
    pytest.fail("nothing is trained")


def test_every_row_makes_its_weights() -> None:
    """Of the rows that are trained, the weights are those after the last iteration."""
    solver = replace(SOLVER, iterations=2, batch_size=2, micro_batch=2)
    pretext = PretextConfig(seed=1, backbone=QUARTER, input_size=32, solver=solver)
    trained: list[Training] = []

    def run(prepare: Callable[[torch.device, int], Training]) -> None:
        training = prepare(torch.device("cpu"), 0)
        assert len(list(training.iterate(0))) == training.solver.iterations == 2
        trained.append(training)

    weights = INITS["pretext"].make(pretext, run)
    assert weights is not None and len(trained) == 1
    state = trained[0].network.backbone.state_dict()
    assert weights.keys() == state.keys() == backbone(QUARTER).build(3).state_dict().keys()
    assert all(torch.equal(weights[name], tensor) for name, tensor in state.items())
    assert INITS["scratch"].make(ScratchConfig(backbone=QUARTER), never) is None


def test_backbone_without_such_weights_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown backbone 'vgg'; valid are: bn_inception"):
        ScratchConfig(backbone="vgg")
    with pytest.raises(ValueError, match="there for bn_inception, not 'bn_inception_half'"):
        WeightsFileConfig(backbone="bn_inception_half", path="p", urls=(), sha256=None)


def test_file_that_is_there_is_read_without_a_network(tmp_path: Path) -> None:
    state = backbone("bn_inception").build(3).state_dict()
    torch.save(state, tmp_path / "bn_inception.pth")
    config = WeightsFileConfig(
        backbone="bn_inception", path=str(tmp_path / "bn_inception.pth"), urls=(), sha256=None
    )
    loaded = weights_from_file(config, never)
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in state.items())


def test_missing_file_without_urls_is_refused(tmp_path: Path) -> None:
    config = WeightsFileConfig(
        backbone="bn_inception", path=str(tmp_path / "none.pth"), urls=(), sha256=None
    )
    with pytest.raises(FetchError, match=r"none\.pth: could not be downloaded"):
        weights_from_file(config, never)

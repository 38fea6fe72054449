"""Probabilities: temperatures and errors worked out by hand, and a recogniser that has them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from recognisers import write_recogniser

from tsn.recogniser.calibration import (
    Calibration,
    calibrate,
    calibration_error,
    fit_temperature,
    softmax,
)
from tsn.recogniser.recogniser import load_recogniser


def test_softmax_by_hand() -> None:
    scores = np.log(np.array([1.0, 2.0, 5.0], np.float32))
    np.testing.assert_allclose(softmax(scores), [0.125, 0.25, 0.625], rtol=1e-6)
    np.testing.assert_allclose(softmax(scores, 0.5), [1 / 30, 4 / 30, 25 / 30], rtol=1e-6)


def test_the_temperature_is_that_by_which_the_labels_were_drawn() -> None:
    """Labels of many videos, drawn by scores that are then made three times as large."""
    generator = np.random.default_rng(0)
    scores = generator.normal(size=(4000, 5)).astype(np.float32) * 2
    labels = np.array([generator.choice(5, p=row) for row in softmax(scores)])
    assert fit_temperature(scores, labels) == pytest.approx(1, rel=0.06)
    assert fit_temperature(3 * scores, labels) == pytest.approx(3, rel=0.06)


def test_where_all_is_right_the_answers_do_not_become_certain() -> None:
    """30 videos, each right by a score of 1 against 0: the loss and the prior balance at T.

    d/dT of 30 log(1 + exp(-1 / T)) + (log T)^2 / 2 is 0 there.
    """
    scores = np.tile(np.array([1, 0], np.float32), (30, 1))
    found = fit_temperature(scores, np.zeros(30, np.int64))
    slope = 30 / (1 + np.exp(1 / found)) / found + np.log(found)
    assert 0.1 < found < 1 and abs(slope) < 0.1


def test_the_calibration_error_by_hand() -> None:
    """Two videos of 0.9, one of them right, and two of 0.62, both right."""
    shares = np.array([[0.9, 0.1], [0.9, 0.1], [0.38, 0.62], [0.62, 0.38]])
    error = calibration_error(shares, np.array([0, 1, 1, 0]))
    assert error == pytest.approx((2 * 0.4 + 2 * 0.38) / 4)


def test_few_videos_give_no_probability() -> None:
    scores, labels = np.eye(3, dtype=np.float32)[np.arange(29) % 3], np.arange(29) % 3
    assert calibrate(scores, labels, (2,), scores, labels) is None


def test_a_recogniser_that_is_calibrated_gives_probabilities(tmp_path: Path) -> None:
    found = Calibration(temperature=2.0, splits=(2, 3), videos=40, ece_before=0.2, ece_after=0.1)
    weights = {"rgb": 1.0, "flow": 0.5}
    card = write_recogniser(tmp_path / "toy", weights=weights, calibration=found)
    assert card.calibration == found
    scores = np.array([0, 2, 4], np.float32)
    for narrower in ({}, {"modalities": ["flow", "rgb"]}, {"crops": "ten_crop"}):
        recogniser = load_recogniser(tmp_path / "toy", torch.device("cpu"), **narrower)
        assert recogniser.measure == "probability"
        np.testing.assert_allclose(recogniser.shares(scores), softmax(scores / 2))
    for narrower in ({"modalities": ["rgb"]}, {"crops": "centre"}):  # other scores
        recogniser = load_recogniser(tmp_path / "toy", torch.device("cpu"), **narrower)
        assert recogniser.measure == "share"
        np.testing.assert_allclose(recogniser.shares(scores), softmax(scores))
    with pytest.raises(ValueError, match="temperature is 0, expected above 0"):
        replace(found, temperature=0)

"""What a recogniser saw: the moments add up to the video, and a part of it answers alone."""

from pathlib import Path

import numpy as np
import pytest
import torch
from recognisers import FLOW, FRAMES, TESTING, write_recogniser
from videos import write_wandering

from tsn.recogniser.recogniser import load_recogniser

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    write_wandering(folder / "clip.avi", 40)
    write_recogniser(folder / "toy", weights={"rgb": 1.0, "flow": 1.5})
    return folder


def test_the_moments_add_up_to_the_video(made: Path) -> None:
    recogniser = load_recogniser(made / "toy", CPU)
    recogniser.warm_up()
    sight = recogniser.look(made / "clip.avi")
    assert sight.scores.tobytes() == recogniser.score(made / "clip.avi").tobytes()
    np.testing.assert_allclose(sight.moments.mean(axis=0), sight.scores, rtol=1e-4, atol=1e-4)
    # Two snippets of a frame: the first frame and the last, of 40.
    assert sight.at == pytest.approx((0.5 / 40, 39.5 / 40))
    assert len(sight.moments) == TESTING.snippets
    size = (FRAMES.height, FRAMES.width)
    assert sight.flow is not None and sight.flow.shape == (*size, 2)
    assert 0 < np.abs(sight.flow).max() <= sight.bound == FLOW.bound
    best = sight.moments[:, sight.scores.argmax()].argmax()
    seen = recogniser._see(made / "clip.avi", lambda: "")["rgb"]
    assert (sight.frame == seen.sparse.frames[(0, 39)[best]]).all()


def test_some_modalities_and_one_crop(made: Path) -> None:
    write_recogniser(made / "alone", weights={"flow": 1.5})
    alone = load_recogniser(made / "toy", CPU, modalities=("flow",))
    assert set(alone._networks) == {"flow"}
    alone._networks["flow"].load_state_dict(
        load_recogniser(made / "alone", CPU)._networks["flow"].state_dict()
    )
    clip = made / "clip.avi"
    expected = load_recogniser(made / "alone", CPU).score(clip)
    assert alone.score(clip).tobytes() == expected.tobytes()
    rgb = load_recogniser(made / "toy", CPU, modalities=("rgb",), crops="centre")
    assert rgb.look(clip).flow is None
    assert not np.array_equal(rgb.score(clip), expected)
    with pytest.raises(ValueError, match="has no sound; it has rgb, flow"):
        load_recogniser(made / "toy", CPU, modalities=("rgb", "sound"))

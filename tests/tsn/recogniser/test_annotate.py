"""Videos with what is recognised on them: bars, flow and title where and when they belong."""

from pathlib import Path

import av
import numpy as np
import pytest
from videos import write_video, write_wandering

from tsn.recogniser.annotate import COLOURS, LEAST_HEIGHT, Overlay, draw, write_annotated
from tsn.streams.contents import VideoError

RED, BLUE = (np.full((30, 40, 3), colour, np.uint8) for colour in ((0, 0, 255), (255, 0, 0)))
OVERLAY = Overlay(
    title="run",
    names=("run", "walk"),
    shares=np.array([[1.0, 0.0], [0.5, 0.5]]),
    moments=np.array([0.25, 0.75]),
    flows=(RED, BLUE),
)
GREY = np.full((400, 600, 3), 100, np.uint8)


def bar(image: np.ndarray, index: int) -> int:
    """Return how long a bar is, in pixels."""
    near = (np.abs(image.astype(int) - COLOURS[index]).sum(axis=2) < 30).sum(axis=1)
    return int(near.max())


@pytest.mark.parametrize(
    ("position", "shares"), [(0.0, (1, 0)), (0.25, (1, 0)), (0.5, (0.75, 0.25)), (1.0, (0.5, 0.5))]
)
def test_bars_are_as_long_as_the_shares_between_two_moments(
    position: float, shares: tuple[float, float]
) -> None:
    image = draw(GREY, OVERLAY, position)
    assert image.shape == GREY.shape
    for index, share in enumerate(shares):
        assert bar(image, index) == pytest.approx(0.55 * 600 * share, abs=2)


def test_the_flow_is_that_of_the_nearest_moment_and_the_middle_stays_as_it_was() -> None:
    for position, flow in ((0.49, RED), (0.51, BLUE)):
        image = draw(GREY, OVERLAY, position)
        assert (image[90, 500] == flow[0, 0]).all()
        assert (image[200, 200] == 100).all() and (GREY == 100).all()


def test_a_small_video_is_enlarged_and_every_frame_of_it_written(tmp_path: Path) -> None:
    video, told = write_wandering(tmp_path / "clip.avi", 12), []
    out = tmp_path / "made/out.mp4"
    write_annotated(video, OVERLAY, out, lambda frames, total: told.append(total) or frames)
    with av.open(str(out)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.average_rate) == ("h264", 25)
        assert (stream.width, stream.height) == (480, LEAST_HEIGHT)
        assert len(list(container.decode(stream))) == told[0] == 12


def test_a_flat_video_is_enlarged_no_wider_than_encoders_take() -> None:
    flat = np.full((16, 2000, 3), 100, np.uint8)
    assert draw(flat, OVERLAY, 0.5).shape == (32, 4096, 3)


def test_frames_that_h264_cannot_have_are_refused_as_those_of_a_bad_video(tmp_path: Path) -> None:
    video = write_video(tmp_path / "clip.avi", [np.full((16, 17000, 3), 100, np.uint8)] * 3)
    with pytest.raises(VideoError, match=r"frames of 17000x16 cannot be written as H\.264"):
        write_annotated(video, OVERLAY, tmp_path / "made/out.mp4", lambda frames, _: frames)
    assert not list(tmp_path.glob("made/*"))


def test_a_video_that_ends_too_soon_leaves_nothing(tmp_path: Path) -> None:
    video = write_wandering(tmp_path / "clip.mp4", 60, codec="mp4v")
    whole = video.read_bytes()
    video.write_bytes(whole.replace(b"moov", b"moof"))
    with pytest.raises(VideoError):
        write_annotated(video, OVERLAY, tmp_path / "made/out.mp4", lambda frames, _: frames)
    assert not list((tmp_path).glob("made/*"))

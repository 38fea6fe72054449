"""The built-in dataset: deterministic, exact about its flow, and telling only what each class is
meant to tell."""

import csv
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from small_configs import SYNTHETIC

from tsn.sources import synthetic, synthetic_motion
from tsn.sources.synthetic import CLASSES, ClipSpec, SyntheticConfig
from tsn.streams.video import import_decord

CONFIG = replace(SYNTHETIC, groups=6, clips_per_group=4, frames=24, pan_share=0.5)


def spec_of(name: str, camera: str, config: SyntheticConfig = CONFIG) -> ClipSpec:
    return next(
        s for s in synthetic.clip_specs(config) if s.class_name == name and camera in s.tags
    )


def small_dataset(seed: int) -> SyntheticConfig:
    return replace(CONFIG, seed=seed, groups=3, clips_per_group=1, frames=6, width=80, height=64)


def backward_warp(image: Any, flow: Any) -> Any:
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]].astype(np.float32)
    return cv2.remap(image, columns + flow[..., 0], rows + flow[..., 1], cv2.INTER_LINEAR)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("seed", -1),
        ("groups", 4),
        ("groups", 0),
        ("clips_per_group", 0),
        ("frames", 5),
        ("width", 161),
        ("height", 32),
        ("frames_per_second", 0),
        ("pan_share", 1.5),
        ("pan_share", float("nan")),
    ],
)
def test_a_bad_value_is_refused_with_its_name(field: str, value: float) -> None:
    changes: dict[str, Any] = {field: value}
    with pytest.raises(ValueError, match=rf"{field} must .*got {value}"):
        replace(CONFIG, **changes)


def test_classes_are_told_apart_by_what_their_kind_says() -> None:
    assert Counter(action.kind for action in CLASSES) == {"appearance": 4, "motion": 4, "long": 2}
    for kind, scenes, phases in (("appearance", 4, 1), ("motion", 1, 4), ("long", 1, 2)):
        actions = [action for action in CLASSES if action.kind == kind]
        assert len({action.backdrop for action in actions}) == scenes
        assert len({action.phases for action in actions}) == phases
        assert len({frozenset(p.look for p in action.phases) for action in actions}) == 1


def test_no_colour_of_the_classes_carries_luma() -> None:
    colours = [a.backdrop.colour for a in CLASSES] + [
        p.look.colour for a in CLASSES for p in a.phases
    ]
    for colour in colours:
        blue, green, red = synthetic._chroma(colour)
        assert 0.114 * blue + 0.587 * green + 0.299 * red == pytest.approx(0, abs=1e-4)


def test_specs_cover_classes_groups_and_clips_under_ucf101_names() -> None:
    specs = synthetic.clip_specs(CONFIG)
    assert len({spec.video for spec in specs}) == len(specs) == 10 * 6 * 4
    assert specs[0].video == "MeadowSway/v_MeadowSway_g01_c01.avi"
    assert specs[-1].video == "MostlyDark/v_MostlyDark_g06_c04.avi"
    assert specs[-1].tags == ("long", "pan")


@pytest.mark.parametrize(("share", "panning"), [(0.0, 0), (0.1, 2), (0.5, 12), (1.0, 24)])
def test_pans_are_spread_evenly_over_every_class(share: float, panning: int) -> None:
    specs = synthetic.clip_specs(replace(CONFIG, pan_share=share))
    for label in range(len(CLASSES)):
        assert sum(s.pans for s in specs if s.label == label) == panning


def test_lists_test_every_clip_once_and_share_no_group(tmp_path: Path) -> None:
    synthetic.write_lists(CONFIG, tmp_path)
    names = [line.split() for line in (tmp_path / "classInd.txt").read_text().splitlines()]
    assert names == [[str(i + 1), action.name] for i, action in enumerate(CLASSES)]
    tested: Counter[str] = Counter()
    for split in (1, 2, 3):
        lines = (tmp_path / f"trainlist{split:02d}.txt").read_text().splitlines()
        train = dict(line.split(" ") for line in lines)
        test = (tmp_path / f"testlist{split:02d}.txt").read_text().splitlines()
        assert all(names[int(label) - 1][1] == Path(v).parent.name for v, label in train.items())
        assert not {v.split("_")[2] for v in train} & {v.split("_")[2] for v in test}
        assert len(train) + len(test) == 240
        tested.update(test)
    assert tested == Counter({spec.video: 1 for spec in synthetic.clip_specs(CONFIG)})
    with (tmp_path / "tags.csv").open(newline="") as file:
        tags = {row["video"]: tuple(row["tags"].split(";")) for row in csv.DictReader(file)}
    assert tags == {spec.video: spec.tags for spec in synthetic.clip_specs(CONFIG)}


def test_first_split_tests_the_first_groups_as_ucf101_does(tmp_path: Path) -> None:
    synthetic.write_lists(CONFIG, tmp_path)
    test = (tmp_path / "testlist01.txt").read_text().splitlines()
    assert {video.split("_")[2] for video in test} == {"g01", "g02"}


def test_the_same_seed_gives_the_same_files_and_another_seed_others(tmp_path: Path) -> None:
    def encoded(seed: int, folder: str) -> Iterator[bytes]:
        for video in synthetic.write_clips(small_dataset(seed), tmp_path / folder):
            yield (tmp_path / folder / video).read_bytes()

    first, again, other = (list(encoded(*a)) for a in ((1, "a"), (1, "another"), (2, "b")))
    assert first == again
    assert len(set(first) | set(other)) == 2 * len(first) == 60
    left = [path.name for path in (tmp_path / "a").rglob("*") if path.is_file()]
    assert len(left) == 30
    assert all(name.startswith("v_") for name in left)


def test_adding_groups_leaves_existing_clips_as_they_were() -> None:
    spec = spec_of("BallSpin", "still")
    more = replace(CONFIG, groups=9)
    assert spec in synthetic.clip_specs(more)
    np.testing.assert_array_equal(
        synthetic.render_clip(spec, CONFIG), synthetic.render_clip(spec, more)
    )


def test_decord_reads_back_every_frame_nearly_as_rendered(tmp_path: Path) -> None:
    spec = synthetic.clip_specs(CONFIG)[0]
    assert next(synthetic.write_clips(CONFIG, tmp_path)) == spec.video
    reader = import_decord().VideoReader(str(tmp_path / spec.video))
    assert len(reader) == CONFIG.frames
    assert reader.get_avg_fps() == CONFIG.frames_per_second
    decoded = reader.get_batch(range(CONFIG.frames)).asnumpy()[..., ::-1].astype(float)
    assert np.abs(decoded - synthetic.render_clip(spec, CONFIG)).mean() < 4


def test_a_clip_that_cannot_be_written_is_an_error_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(synthetic, "CODEC", "????")
    with pytest.raises(OSError, match=r"v_MeadowSway_g01_c01\.avi.*encoder"):
        next(synthetic.write_clips(CONFIG, tmp_path))
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize("camera", ["still", "pan"])
@pytest.mark.parametrize("name", ["LakeSway", "BallBounce", "BallSlide", "BallPulse", "BallSpin"])
def test_true_flow_carries_each_frame_onto_the_next(name: str, camera: str) -> None:
    spec = spec_of(name, camera)
    frames = synthetic.render_clip(spec, CONFIG).astype(np.float32).mean(axis=-1)
    flow = synthetic.true_flow(spec, CONFIG)
    assert flow.shape == (CONFIG.frames - 1, CONFIG.height, CONFIG.width, 2)
    path = synthetic.trajectory(spec, CONFIG)
    for t in (0, 9, 17):
        # Only the disc without its rim, which no other surface hides or mixes with.
        columns, rows = np.meshgrid(np.arange(CONFIG.width), np.arange(CONFIG.height))
        centre, scale = path.actor[t][:, 2], np.hypot(*path.actor[t][:, 0])
        disc = np.hypot(columns - centre[0], rows - centre[1]) < scale - 2
        residual = np.abs(backward_warp(frames[t + 1], flow[t]) - frames[t])
        unmoved = np.abs(frames[t + 1] - frames[t])
        assert residual[disc].mean() < min(4.0, 0.7 * unmoved[disc].mean())
        assert np.median(residual) < 3


def test_flow_outside_the_actor_is_the_camera_alone() -> None:
    still = synthetic.true_flow(spec_of("BallSlide", "still"), CONFIG)
    assert not still[:, 0, 0].any()
    spec = spec_of("BallSlide", "pan")
    speeds = np.linalg.norm(synthetic.true_flow(spec, CONFIG)[:, 0, 0], axis=-1)
    low, high = synthetic_motion.PAN_SPEED
    assert np.all(speeds <= high + 1e-4)
    assert np.mean(speeds >= low - 1e-4) > 0.8  # all but the frames in which the sweep turns


def test_ground_motion_follows_a_homography_found_from_corners() -> None:
    spec = spec_of("BallBounce", "pan")
    first, second = (
        cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY) for frame in synthetic.render_clip(spec, CONFIG)[:2]
    )
    corners = cv2.goodFeaturesToTrack(first, 1000, 0.001, 3)
    assert len(corners) > 200
    tracked, found, _ = cv2.calcOpticalFlowPyrLK(first, second, corners, None)
    kept = found[:, 0] == 1
    homography, _ = cv2.findHomography(corners[kept], tracked[kept], cv2.RANSAC, 1.0)
    x, y, w = homography @ np.array([80.0, 60.0, 1.0])
    expected = np.array([80, 60]) + synthetic.true_flow(spec, CONFIG)[0, 0, 0]
    np.testing.assert_allclose([x / w, y / w], expected, atol=0.3)


@pytest.mark.parametrize(
    ("name", "moves"),
    [
        ("BallBounce", (False, True, False, False)),
        ("BallSlide", (True, False, False, False)),
        ("BallPulse", (False, False, True, False)),
        ("BallSpin", (False, False, False, True)),
        ("LakeSway", (True, True, False, False)),
    ],
)
def test_the_actor_moves_as_its_class_says(name: str, moves: tuple[bool, ...]) -> None:
    path = synthetic.trajectory(spec_of(name, "pan"), CONFIG)
    position = path.actor[:, :, 2] - path.camera
    scale = np.hypot(path.actor[:, 0, 0], path.actor[:, 1, 0])
    angle = np.unwrap(np.arctan2(path.actor[:, 1, 0], path.actor[:, 0, 0]))
    changes = [np.ptp(series) > 1e-6 for series in (*position.T, scale, angle)]
    assert changes == list(moves)


def test_one_frame_of_a_motion_class_tells_nothing_about_it() -> None:
    config = replace(CONFIG, clips_per_group=40, frames=6)
    poses: dict[str, list[Any]] = {}
    for spec in synthetic.clip_specs(config):
        if "motion" in spec.tags:
            poses.setdefault(spec.class_name, []).append(synthetic.trajectory(spec, config).actor)
    frame = np.stack([np.stack(poses[name])[:, 3].reshape(-1, 6) for name in sorted(poses)])
    spread = frame.std(axis=(0, 1))
    assert np.all(np.abs(frame.mean(axis=1) - frame.mean(axis=(0, 1))) < 0.25 * spread)
    assert np.all(np.abs(frame.std(axis=1) / spread - 1) < 0.2)
    assert np.all(np.abs(frame[..., 2].mean(axis=1) - 79.5) < 0.25 * spread[2])


@pytest.mark.parametrize(("name", "bright_frames"), [("MostlyBright", 16), ("MostlyDark", 8)])
def test_a_long_class_is_the_share_of_its_states(name: str, bright_frames: int) -> None:
    orders = set()
    for spec in synthetic.clip_specs(CONFIG):
        if spec.class_name == name:
            phases = synthetic.trajectory(spec, CONFIG).phases
            bright = [phase.look == synthetic_motion.BRIGHT for phase in phases]
            assert sum(bright) == bright_frames
            assert [bright[0]] * 8 + [bright[8]] * 8 + [bright[16]] * 8 == bright
            orders.add(tuple(bright))
    assert len(orders) == 3


def test_scene_colours_are_seen_in_rgb_and_not_in_grey() -> None:
    ground = np.array(
        [
            synthetic.render_clip(spec_of(action.name, "still"), CONFIG)[0, :, :8].mean(axis=(0, 1))
            for action in CLASSES[:4]
        ]
    )
    colour = ground - ground.mean(axis=1, keepdims=True)
    apart = [np.abs(a - b).max() for i, a in enumerate(colour) for b in colour[:i]]
    assert min(apart) > 20
    grey = ground @ np.array([0.114, 0.587, 0.299])
    assert np.ptp(grey) < 2 * synthetic.BRIGHTNESS_SPREAD + 10

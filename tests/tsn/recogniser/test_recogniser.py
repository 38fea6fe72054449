"""A recogniser gives the scores of the pipeline; one that is not whole is refused."""

import json
import shutil
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from recognisers import (
    CLASSES,
    INPUT_SIZE,
    STREAM_CONFIGS,
    TESTING,
    WEIGHTS,
    write_models,
    write_recogniser,
)
from videos import write_wandering
from workspace import ROOT

from tsn.files import file_sha256
from tsn.lists import ListedVideo
from tsn.metrics import Scores
from tsn.modality import modality
from tsn.model.checkpoint import load_card, load_model
from tsn.model.tensors import CheckpointError, load_tensors, save_tensors
from tsn.recogniser import folder as recogniser_folder
from tsn.recogniser import recogniser, sparse_read
from tsn.recogniser.card import (
    CARD,
    VERSION,
    RecogniserError,
    ReferenceScores,
    read_test_scores,
    read_trained_on,
)
from tsn.recogniser.recogniser import load_recogniser
from tsn.scoring.fusion import fuse
from tsn.scoring.score import ScoringProtocol, score_videos, video_scores
from tsn.scoring.scores import VideoScores
from tsn.snippets.dataset import ScoringSnippets, listed_clips
from tsn.streams import table as streams
from tsn.streams.archives import write_manifest
from tsn.streams.contents import VideoError
from tsn.streams.extraction import ExtractionJob, extract_stream
from tsn.streams.limits import DEFAULT_LIMITS
from tsn.streams.table import STREAMS, Acceptance, FramesConfig, WorkerDevice

CPU = torch.device("cpu")
# 6 frames are one snippet; 7 overlap their snippets; of 60, most is not looked at.
LENGTHS = (6, 7, 60)


def pipeline_scores(
    root: Path,
    videos: Sequence[str],
    models: Mapping[str, Path],
    weights: Mapping[str, float] = WEIGHTS,
    streams: Mapping[str, FramesConfig] = STREAM_CONFIGS,
) -> Scores:
    """What `extract`, `score` and `fuse` make of the videos below root/videos."""
    listed = [ListedVideo(video, 0, "g", ()) for video in videos]
    cells = {}
    for name, model in models.items():
        row, config, out = modality(name), streams[name], root / "streams" / name
        job = ExtractionJob(
            stream=STREAMS[row.stream],
            config=config,
            accept=Acceptance(min_frames=6, max_quarantined=0),
            videos_dir=root / "videos",
            videos=videos,
            store_dir=root / "store",
            devices=[WorkerDevice(name="cpu", threads=1)],
        )
        write_manifest([record.row for record in extract_stream(job, out)], out)
        clips, dropped = listed_clips(listed, out, row)
        assert not dropped
        network, card = load_model(model)
        network.to(CPU, memory_format=torch.channels_last)
        dataset = ScoringSnippets(clips, row, snippets=TESTING.snippets)
        testing = ScoringProtocol(config=TESTING, size=INPUT_SIZE)
        snippets = list(score_videos(network, dataset, testing, device=CPU, workers=0))
        cells[name] = VideoScores(
            dataset="toy",
            split=2,
            modality=name,
            model=card.fingerprint,
            fingerprint="",
            classes=CLASSES,
            videos=tuple(videos),
            labels=np.zeros(len(videos), np.int64),
            snippets=np.stack(snippets),
            scores=video_scores(snippets),
        )
    return fuse(cells, weights)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle") / "toy"
    videos = [
        write_wandering(folder.parent / "videos/walk" / f"{k}.avi", 6, seed=k) for k in (1, 2)
    ]
    write_recogniser(folder, videos, weights=WEIGHTS)
    return folder


@pytest.fixture
def copied(bundle: Path, tmp_path: Path) -> Path:
    shutil.copytree(bundle, tmp_path / "toy")
    return tmp_path / "toy"


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the batches of pairs whose flow is computed from now on."""
    sizes = []
    create = streams.create_engine

    def create_counting(name: str, device: str) -> Any:
        engine = create(name, device)

        def compute(gray0: Any, gray1: Any) -> Any:
            sizes.append(len(gray0))
            return engine.compute(gray0, gray1)

        return replace(engine, compute=compute)

    monkeypatch.setattr(streams, "create_engine", create_counting)
    return sizes


def test_scores_are_those_of_the_pipeline_to_the_bit(bundle: Path, tmp_path: Path) -> None:
    names = [f"run/{num_frames}.avi" for num_frames in LENGTHS]
    for name, num_frames in zip(names, LENGTHS, strict=True):
        write_wandering(tmp_path / "videos" / name, num_frames, seed=3)
    expected = pipeline_scores(tmp_path, names, {name: bundle / name for name in WEIGHTS})
    loaded = load_recogniser(bundle, CPU)
    found = np.stack([loaded.score(tmp_path / "videos" / name) for name in names])
    assert found.dtype == np.float32 and found.shape == (3, 3)
    assert np.ptp(found, axis=1).min() > 0.1
    np.testing.assert_array_equal(found, expected)


def test_other_frame_sizes_and_a_video_of_another_codec(tmp_path: Path) -> None:
    """Networks whose frames differ in size decode the video once each."""
    folder = tmp_path / "toy"
    weights = {"flow": 1.0, "rgb": 0.3}
    write_recogniser(folder, weights=weights)
    video = write_wandering(tmp_path / "videos/run/clip.mp4", 12, codec="mp4v")
    whole = load_recogniser(folder, CPU)
    streams = {**STREAM_CONFIGS, "rgb": replace(STREAM_CONFIGS["rgb"], width=64)}
    members = [replace(row, stream=streams[row.modality]) for row in whole.card.members]
    other = recogniser.Recogniser(
        replace(whole.card, members=tuple(members)), whole._networks, whole._input_sizes, CPU
    )
    models = {name: folder / name for name in weights}
    (expected,) = pipeline_scores(tmp_path, ["run/clip.mp4"], models, weights, streams)
    np.testing.assert_array_equal(other.score(video), expected)
    assert not np.array_equal(whole.score(video), expected)


def test_of_a_long_video_only_what_the_snippets_hold_is_computed(
    bundle: Path, tmp_path: Path, computed: list[int]
) -> None:
    video = write_wandering(tmp_path / "clip.avi", 60)
    load_recogniser(bundle, CPU).score(video)
    # Flow and warped flow, 2 snippets of 5 fields each; the video has 59.
    assert sum(computed) == 2 * 2 * 5


def test_threads_change_nothing(bundle: Path, tmp_path: Path) -> None:
    video = write_wandering(tmp_path / "clip.avi", 60)
    view = sparse_read.Need(
        modality=modality("warped_flow"),
        stream=STREAMS["warped_flow"],
        config=STREAM_CONFIGS["warped_flow"],
        snippets=5,
    )
    part = sparse_read.read_sparsely(video, [view])
    one, three = (sparse_read.snippet_reader(part, view, "cpu", n) for n in (1, 3))
    for start in view.entries(60)[::5]:
        np.testing.assert_array_equal(one(start), three(start))


def test_a_video_that_claims_too_many_frames_is_read_as_often_as_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = write_wandering(tmp_path / "clip.avi", 40)
    view = sparse_read.Need(
        modality=modality("rgb"), stream=STREAMS["frames"], config=STREAM_CONFIGS["rgb"], snippets=3
    )
    expected = sparse_read.read_sparsely(video, [view])
    assert sorted(expected.frames) == [0, 19, 38]
    contents = sparse_read.inspect(video, DEFAULT_LIMITS)
    monkeypatch.setattr(sparse_read, "inspect", lambda *_: replace(contents, shown=46))
    found = sparse_read.read_sparsely(video, [view])
    assert found.num_frames == 40 and sorted(found.frames) == [0, 19, 38]
    for number, frame in expected.frames.items():
        np.testing.assert_array_equal(found.frames[number], frame)


def test_runs_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sparse_read, "LONGEST_RUN", 3)
    assert sparse_read.runs([0, 1, 5, 6, 7, 8, 9]) == [range(0, 2), range(5, 8), range(8, 10)]
    assert sparse_read.runs([]) == []


def broken(path: Path) -> Path:
    path.write_bytes(b"no video")
    return path


@pytest.mark.parametrize(
    ("video", "error", "message"),
    [
        (lambda f: f / "none.avi", FileNotFoundError, "none.avi: no such video file"),
        (lambda f: broken(f / "x.avi"), VideoError, "x.avi: not a video file"),
        (
            lambda f: write_wandering(f / "short.avi", 5),
            VideoError,
            "short.avi: 5 frames, a snippet of rgb_diff takes 6",
        ),
    ],
)
def test_a_video_that_cannot_be_recognised_is_refused(
    bundle: Path, tmp_path: Path, video: Callable[[Path], Path], error: type, message: str
) -> None:
    with pytest.raises(error, match=message):
        load_recogniser(bundle, CPU).score(video(tmp_path))


def test_what_is_saved_comes_back(bundle: Path) -> None:
    card = load_recogniser(bundle, CPU).card
    assert (card.dataset, card.split, card.classes) == ("toy", 2, CLASSES)
    assert (card.combination, card.weights) == ("both", WEIGHTS)
    assert card.description == "both: rgb + 0.7 rgb_diff + 1.5 flow + 0.5 warped_flow"
    assert {member.modality: member.stream for member in card.members} == STREAM_CONFIGS
    assert card.testing == TESTING
    tests = read_test_scores(bundle)
    assert tests.videos == ("walk/1.avi", "walk/2.avi") and tests.labels.tolist() == [0, 1]
    expected = np.random.default_rng(1).normal(size=(2, 3)).astype(np.float32)
    np.testing.assert_array_equal(tests.scores, expected)
    assert (bundle / "trained_on.txt").read_text() == f"{'a' * 64}\n{'b' * 64}\n"
    assert read_trained_on(bundle) == {"a" * 64, "b" * 64}


def test_equal_recognisers_have_one_fingerprint_and_equal_bytes(
    bundle: Path, tmp_path: Path
) -> None:
    videos = sorted((bundle.parent / "videos").rglob("*.avi"))
    again = write_recogniser(tmp_path / "again", videos, weights=WEIGHTS)
    assert again == load_recogniser(bundle, CPU).card
    for file in (path for path in bundle.rglob("*") if path.is_file()):
        assert (tmp_path / "again" / file.relative_to(bundle)).read_bytes() == file.read_bytes()
    other = write_recogniser(tmp_path / "other", videos, weights={**WEIGHTS, "rgb": 1.1})
    fewer_tests = write_recogniser(tmp_path / "fewer", videos[:1], weights=WEIGHTS)
    assert len({row.fingerprint for row in (again, other, fewer_tests)}) == 3


def test_a_recogniser_takes_the_place_of_the_one_in_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "toy"
    write_recogniser(folder, weights={"rgb": 1.0, "rgb_diff": 1.0})
    write_recogniser(folder, weights={"rgb": 1.0})
    assert sorted(path.name for path in folder.iterdir()) == [
        CARD,
        "rgb",
        "test_scores.csv",
        "trained_on.txt",
    ]


def edit(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.unlink()
    path.write_text(json.dumps(content))


def set_weight(content: dict[str, Any]) -> None:
    content["members"][0]["weight"] = 2.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda c: c.update(format=2, libraries={"tsn": "0.0.9"}),
            f"{CARD}: of format 2, made by version 0.0.9 of .*; version {VERSION} reads format 3",
        ),
        (lambda c: c.update(format=2, libraries={}), "made by an older version of this project"),
        (lambda c: c.update(colour=1), "colour: unknown key; valid: format, dataset"),
        (lambda c: c.pop("testing"), "testing: missing; expected: format"),
        (lambda c: c["testing"].update(speed=1), r"testing\.speed: unknown key; valid: snippets"),
        (lambda c: c["testing"].update(crops="five"), "testing: unknown crops 'five'"),
        (
            lambda c: c["testing"].update(snippets="4"),
            r"testing\.snippets: expected a whole number, got '4'",
        ),
        (lambda c: c["members"][2]["stream"].pop("bound"), r"members.2..stream.bound: missing"),
        (
            lambda c: c["members"][3]["stream"]["homography"].update(min_inliers=1),
            r"members.3..stream.homography: min_inliers is 1",
        ),
        (lambda c: c.update(members="rgb"), "members: expected a list, got 'rgb'"),
        (lambda c: c["members"][0].update(modality="depth"), "unknown modality 'depth'"),
        (lambda c: c["members"][2].update(stream_version=0), "flow was trained on version 0 of"),
        (set_weight, f"{CARD}: changed since it was written"),
        (lambda c: c.update(members=[]), r"members: expected networks .* got \[\]"),
        (lambda c: c["members"].append(c["members"][0]), r"members: .* 'warped_flow', 'rgb'\]"),
        (lambda c: c["classes"].append("run"), r"classes: .* got \['run'\] repeatedly"),
        (lambda c: c.update(classes=[]), "classes: expected different names, got none"),
        (lambda c: c["testing"].update(snippets=10**12), "testing: snippets is 10{12}, expected"),
        (lambda c: c["testing"].update(batch=10**20), "testing: batch is 10{20}, expected"),
        (
            lambda c: c["members"][0]["stream"].update(width=10**9),
            r"members.0..stream: width x height is 10{9} x \d+, expected at most",
        ),
        (
            lambda c: c["members"][0].update(weight=float("nan")),
            r"members.0..weight: expected a finite number, got nan",
        ),
        (lambda c: c["members"][0].update(weight=10**400), r"members.0..weight: .* finite number"),
        (
            lambda c: c["members"][2]["stream"].update(bound=float("inf")),
            r"members.2..stream.bound: expected a finite number, got inf",
        ),
        (
            lambda c: c["members"][3]["stream"]["homography"].update(
                reprojection_threshold=float("-inf")
            ),
            r"homography.reprojection_threshold: expected a finite number, got -inf",
        ),
        (lambda c: c["classes"].reverse(), f"{CARD}: changed since it was written"),
    ],
)
def test_a_changed_card_is_refused(
    copied: Path, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    edit(copied / CARD, change)
    with pytest.raises(RecogniserError, match=message):
        load_recogniser(copied, CPU)


def forged(folder: Path, change: Callable[[dict[str, Any]], None], file: str = CARD) -> None:
    """Change a file of a recogniser as one who knows how it is sealed."""
    edit(folder / file, change)
    content = json.loads((folder / CARD).read_text())
    names = [member["modality"] for member in content["members"]]
    networks = {name: load_card(folder / name) for name in names}
    seal = recogniser_folder._fingerprint(content, networks)
    edit(folder / CARD, lambda card: card.update(fingerprint=seal))


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        (
            "flow/weights.json",
            {"input_size": 10**6},
            r"flow/weights.json: input_size is 10{6}, exp",
        ),
        ("flow/weights.json", {"input_size": 0}, "input_size is 0, expected 1 to the frames'"),
        ("rgb/weights.json", {"classes": ["walk"]}, "rgb/weights.json: trained for classes"),
        ("rgb/weights.json", {"modality": "flow"}, "rgb/weights.json: trained for modality 'flow'"),
    ],
)
def test_a_network_that_does_not_fit_its_recogniser_is_refused(
    copied: Path, file: str, change: dict[str, Any], message: str
) -> None:
    forged(copied, lambda content: content.update(change), file)
    with pytest.raises(ValueError, match=message):
        load_recogniser(copied, CPU)


def test_a_network_of_absurd_shape_is_refused_before_it_is_built(copied: Path) -> None:
    network = json.loads((copied / "rgb/weights.json").read_text())["network"]
    network |= {"consensus": "weighted_average", "num_segments": 10**13}
    edit(copied / "rgb/weights.json", lambda content: content.update(network=network))
    with pytest.raises(
        CheckpointError, match=r"network: num_segments must be 1 to 1000, got 10{13}"
    ):
        load_recogniser(copied, CPU)


def test_more_than_a_machine_could_show_a_network_is_refused(copied: Path) -> None:
    def enlarge(content: dict[str, Any]) -> None:
        content["testing"]["snippets"] = 10_000
        for member in content["members"]:
            member["stream"] |= {"width": 5000, "height": 5000}

    forged(copied, enlarge)
    forged(copied, lambda content: content.update(input_size=4096), "flow/weights.json")
    with pytest.raises(RecogniserError, match=r"snippets 10000: a video would take 16777 GB"):
        load_recogniser(copied, CPU)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_finite_numbers_are_refused(copied: Path, value: float) -> None:
    path = copied / "flow/weights.safetensors"
    tensors, _ = load_tensors(path)
    tensors["fc.bias"][1] = value
    path.unlink()
    save_tensors(tensors, path, {})
    forged(copied, lambda c: c["members"][2].update(weights_sha256=file_sha256(path)))
    with pytest.raises(CheckpointError, match=r"flow/weights.safetensors: fc.bias has values"):
        load_recogniser(copied, CPU)


@pytest.mark.parametrize(
    ("old", "new"), [(",0,", ",3,"), (",0,", ",0,nan,"), (",0,", ",0,1e999,"), (",0,", ",none,")]
)
def test_test_scores_that_are_none_are_refused(copied: Path, old: str, new: str) -> None:
    path = copied / "test_scores.csv"
    text = path.read_text().replace(old, new, 1)
    path.unlink()
    path.write_text(text)
    with pytest.raises(RecogniserError, match=r"test_scores.csv: row 2: expected the label"):
        read_test_scores(copied)


@pytest.mark.parametrize("content", [b"x" * 131_073, b"caf\xe9"])
def test_tables_that_cannot_be_read_are_that_recognisers_fault(
    tmp_path: Path, content: bytes
) -> None:
    for name in ("test_scores.csv", "trained_on.txt"):
        (tmp_path / name).write_bytes(content)
    with pytest.raises(RecogniserError, match=r"test_scores.csv: not CSV in UTF-8"):
        read_test_scores(tmp_path)
    if content.isascii():
        assert read_trained_on(tmp_path) == frozenset()
    else:
        with pytest.raises(RecogniserError, match=r"trained_on.txt: not text in UTF-8"):
            read_trained_on(tmp_path)


def test_a_card_of_endless_brackets_is_refused(copied: Path) -> None:
    (copied / CARD).unlink()
    (copied / CARD).write_text("[" * 100_000)
    with pytest.raises(RecogniserError, match=f"{CARD}: not JSON"):
        load_recogniser(copied, CPU)


def test_changed_weights_are_refused(copied: Path) -> None:
    weights = copied / "flow/weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.unlink()
    weights.write_bytes(content)
    with pytest.raises(RecogniserError, match=r"flow/weights.safetensors: not the file that"):
        load_recogniser(copied, CPU)


@pytest.mark.parametrize("name", ["test_scores.csv", "trained_on.txt"])
def test_what_promotion_rests_on_cannot_be_changed(copied: Path, name: str) -> None:
    with (copied / name).open("a") as file:
        file.write("c" * 64 + "\n")
    with pytest.raises(RecogniserError, match=f"{name}: not the file that {CARD} names"):
        load_recogniser(copied, CPU)
    edit(copied / CARD, lambda content: content.update(rehashed(copied)))
    with pytest.raises(RecogniserError, match=f"{CARD}: changed since it was written"):
        load_recogniser(copied, CPU)


def rehashed(folder: Path) -> dict[str, str]:
    """What the card would say of the files as they are."""
    names = {"test_scores_sha256": "test_scores.csv", "trained_on_sha256": "trained_on.txt"}
    return {key: file_sha256(folder / name) for key, name in names.items()}


def test_a_changed_sidecar_is_refused(copied: Path) -> None:
    edit(copied / "rgb/weights.json", lambda content: content.update(input_size=64))
    with pytest.raises(RecogniserError, match="changed since it was written, or a network"):
        load_recogniser(copied, CPU)


@pytest.mark.parametrize("name", [CARD, "flow/weights.safetensors", "trained_on.txt"])
def test_a_missing_file_is_named(copied: Path, name: str) -> None:
    (copied / name).unlink()
    with pytest.raises(FileNotFoundError, match=name):
        load_recogniser(copied, CPU)


def test_other_libraries_are_said(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    here = recogniser.current_libraries()
    monkeypatch.setattr(recogniser, "current_libraries", lambda: {**here, "opencv": "9.9"})
    load_recogniser(bundle, CPU)
    assert f"with opencv {here['opencv']} (here 9.9): its scores may differ" in caplog.text


def test_the_version_is_the_projects_and_changes_no_fingerprint(copied: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == VERSION
    edit(copied / CARD, lambda content: content["libraries"].pop("tsn"))  # as it was once written
    load_recogniser(copied, CPU)


def test_networks_of_different_cells_are_refused(tmp_path: Path) -> None:
    models = write_models(tmp_path / "models", ["rgb", "flow"])
    edit(models["flow"] / "weights.json", lambda content: content.update(split=3))
    arguments: dict[str, Any] = {
        "combination": "two_stream",
        "weights": {"rgb": 1.0, "flow": 1.0},
        "streams": STREAM_CONFIGS,
        "testing": TESTING,
        "tests": read_test_scores_of_nothing(),
        "trained_on": [],
    }
    with pytest.raises(RecogniserError, match="split is 3 for flow, 2 for rgb"):
        recogniser_folder.save_recogniser(tmp_path / "toy", models=models, **arguments)
    with pytest.raises(RecogniserError, match="given as flow is one of rgb"):
        both = {"rgb": models["rgb"], "flow": models["rgb"]}
        recogniser_folder.save_recogniser(tmp_path / "toy", models=both, **arguments)
    assert not (tmp_path / "toy" / CARD).exists()


def read_test_scores_of_nothing() -> ReferenceScores:
    return ReferenceScores(
        classes=CLASSES,
        videos=(),
        sha256=(),
        labels=np.empty(0, np.int64),
        scores=np.empty((0, 3), np.float32),
    )

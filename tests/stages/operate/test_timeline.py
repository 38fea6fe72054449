"""Timelines of long videos: what they find in them, their files, and what they refuse."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import small_configs
import torch
from recognisers import CLASSES, STREAM_CONFIGS, TESTING, write_recogniser
from videos import write_wandering

from stages.operate import timeline
from stages.operate.timeline import Options, Watched
from tsn.files import write_json
from tsn.metrics import Scores
from tsn.model.backbone import InputValues
from tsn.recogniser.card import FORMAT, Member, RecogniserCard
from tsn.recogniser.recogniser import Recogniser, ScoredSeconds
from tsn.sources.folder import SourceError
from tsn.sources.synthetic_motion import CLASSES as ACTIONS
from tsn.untrimmed.annotations import AnnotatedVideo, Annotation
from tsn.untrimmed.synthetic import Happening, write_long_video

NAMES = tuple(action.name for action in ACTIONS[:4])  # those that their ground tells
LUMA = np.array([0.114, 0.587, 0.299])


class GroundNetwork:
    """Scores the four classes by how near their ground is to the mean colour of a frame."""

    def __init__(self) -> None:
        self.row = self
        self.inputs = InputValues(colours="bgr", mean=(0.0, 0.0, 0.0), std=None)
        grounds = np.array([action.backdrop.colour for action in ACTIONS[:4]])
        self.grounds = torch.tensor(grounds - (grounds @ LUMA)[:, None], dtype=torch.float32)

    def snippet_scores(self, snippets: torch.Tensor) -> torch.Tensor:
        means = snippets.mean(dim=(2, 3))
        chroma = means - (means @ torch.tensor(LUMA, dtype=torch.float32))[:, None]
        return -(torch.cdist(chroma, self.grounds) ** 2) / 1000


def ground_recogniser() -> Recogniser:
    member = Member(
        modality="rgb",
        weight=1.0,
        stream_version=1,
        stream=STREAM_CONFIGS["rgb"],
        weights_sha256="",
    )
    card = RecogniserCard(
        format=FORMAT,
        dataset="grounds",
        split=1,
        classes=NAMES,
        testing=TESTING,
        combination="rgb",
        members=(member,),
        libraries={},
        test_scores_sha256="",
        trained_on_sha256="",
        fingerprint="grounds",
    )
    networks: Any = {"rgb": GroundNetwork()}
    return Recogniser(card, networks, {"rgb": 32}, torch.device("cpu"))


def options(folder: Path, *videos: Path, **others: Any) -> Options:
    known = {"model": str(folder / "toy"), "out": folder / "out"}
    return Options(videos=videos, **{**known, **others})


def test_actions_between_background_are_found(tmp_path: Path, capsys: Any) -> None:
    """Really encoded clips of the synthetic classes, glued together with background between."""
    happenings = [(None, 6), (2, 4), (None, 5), (0, 3), (None, 4), (2, 3)]
    video = tmp_path / "v_long.avi"
    row = write_long_video(
        small_configs.SYNTHETIC, 1, [Happening(*some) for some in happenings], video
    )
    recogniser = ground_recogniser()
    seen = timeline.watch(recogniser, "r", video, tmp_path / "out")
    assert seen.scores.shape == (25, 4) and seen.seconds == 25
    timeline.tell(seen, NAMES, 0.75, None, options(tmp_path, video))
    content = json.loads((tmp_path / "out/v_long.avi.json").read_text(encoding="utf-8"))
    found = [span for span in content["spans"] if span["class"]]
    assert [span["class"] for span in found] == ["DesertSway", "MeadowSway", "DesertSway"]
    for span, real in zip(found, row["annotations"], strict=True):
        assert real["label"] == span["class"]
        assert abs(span["start"] - real["segment"][0]) <= 1
        assert abs(span["end"] - real["segment"][1]) <= 1
    assert content["spans"][0]["start"] == 0 and content["spans"][-1]["end"] == 25
    assert [one["second"] for one in content["timeline"]] == list(range(25))
    assert cv2.imread(str(tmp_path / "out/v_long.avi.png")) is not None
    assert "DesertSway" in capsys.readouterr().out


def watched(label: str, always: float = 0) -> Watched:
    """A minute that shows a class for two seconds, and is a little like walking all the time."""
    scores = np.zeros((60, len(CLASSES)), np.float32)
    scores[10:12, CLASSES.index(label)] = 5
    scores[:, CLASSES.index("walk")] += always
    return Watched(video="", sha256="", recogniser="", seconds=60.0, scores=scores)


def annotated(subset: str, *labels: str) -> AnnotatedVideo:
    rows = tuple(Annotation(label=label, start=10, end=12) for label in labels)
    return AnnotatedVideo(subset=subset, annotations=rows)


def four_videos() -> tuple[dict[Path, Watched], dict[Path, AnnotatedVideo]]:
    found, truth = {}, {}
    for number, label in enumerate(["walk", "run", "walk", "run"]):
        video = Path(f"v_{number}.mp4")
        found[video] = watched(label, always=(0, 0.3, 0, 0.3)[number])
        truth[video] = annotated("validation", label)
    return found, truth


def test_the_mean_average_precision_of_windows_and_of_the_mean() -> None:
    found, truth = four_videos()
    first = Path("v_0.mp4")
    found[Path("other.mp4")] = found[first]
    truth[first] = annotated("validation", "walk", "sit")
    lines = timeline.precision_lines(found, CLASSES, truth)
    assert lines[0] == "mean average precision over 4 annotated videos and 2 classes"
    assert lines[3:] == ["  not classes of the recogniser: sit", "  videos: 4 of validation"]
    windows, mean = (float(line.split()[-1].rstrip("%")) for line in lines[1:3])
    # Of walk, the mean has both videos of run first: a precision of 2 / 4. Of run all is right.
    assert windows == 100 and mean == 100 * (2 / 4 + 1) / 2


def test_videos_whose_labels_are_withheld_do_not_count_as_showing_nothing() -> None:
    found, truth = four_videos()
    expected = timeline.precision_lines(found, CLASSES, truth)
    for number, always in enumerate((3, 4)):
        video = Path(f"hidden_{number}.mp4")
        found[video], truth[video] = watched("run", always), annotated("testing")
    lines = timeline.precision_lines(found, CLASSES, truth)
    assert lines == [*expected, "  left out: 2 without annotations"]
    assert timeline.happenings(annotated("testing"), CLASSES) is None


def test_videos_of_another_subset_are_told_of_or_left_out() -> None:
    found, truth = four_videos()
    expected = timeline.precision_lines(found, CLASSES, truth)
    trained, hidden = Path("trained.mp4"), Path("hidden.mp4")
    found[trained], truth[trained] = watched("run"), annotated("training", "run")
    found[hidden], truth[hidden] = watched("run"), annotated("testing")
    mixed = timeline.precision_lines(found, CLASSES, truth)
    assert mixed[0] == "mean average precision over 5 annotated videos and 2 classes"
    assert mixed[3:5] == [
        "  videos: 1 of training, 4 of validation",
        "  left out: 1 without annotations",
    ]
    assert mixed[5].startswith("  warning: subsets are mixed") and len(mixed) == 6
    chosen = timeline.precision_lines(found, CLASSES, truth, "validation")
    assert chosen == [*expected, "  left out: 2 of other subsets"]


def test_what_would_not_count_once_is_refused_before_it_is_read(tmp_path: Path) -> None:
    """There is neither a recogniser nor a video."""
    path = tmp_path / "annotations.json"
    rows = [{"label": "run", "segment": [0, 1]}]
    write_json(path, {"database": {"a": {"subset": "Validation", "annotations": rows}}})
    video, same = tmp_path / "a.mp4", tmp_path / "v_a.mkv"
    with pytest.raises(SourceError, match="are both video a of the annotations"):
        timeline.main(options(tmp_path, video, same, annotations=path))
    with pytest.raises(ValueError, match=r"no video is of subset test; .* are of: validation"):
        timeline.main(options(tmp_path, video, annotations=path, subset="test"))
    with pytest.raises(FileNotFoundError, match="no recogniser there"):
        timeline.main(options(tmp_path, video, annotations=path, subset="validation"))
    write_json(path, {"database": {"a": {"subset": "testing", "annotations": []}}})
    for subset, of in (("testing", " of subset testing"), (None, "")):
        with pytest.raises(ValueError, match=f"has no annotation of the videos{of}, as if"):
            timeline.main(options(tmp_path, video, annotations=path, subset=subset))


def test_annotations_of_other_videos_are_refused() -> None:
    found = {Path("a.mp4"): watched("run")}
    with pytest.raises(ValueError, match="none of the 1 videos is annotated"):
        timeline.precision_lines(found, CLASSES, {})


@pytest.mark.parametrize("narrower", [{"modalities": ("rgb",)}, {"crops": "centre"}])
def test_a_narrowed_recogniser_has_no_limit_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, narrower: dict[str, Any]
) -> None:
    """Its scores are on another scale than the test scores, which are of all and ten crops."""
    video = write_wandering(tmp_path / "clip.avi", 30)
    write_recogniser(tmp_path / "toy", [video], weights={"rgb": 1.0, "rgb_diff": 0.7})
    read: list[Path] = []
    scored = ScoredSeconds(scores=np.zeros((1, len(CLASSES)), np.float32), seconds=1.0)

    def score_seconds(_: Recogniser, video: Path) -> Iterator[ScoredSeconds]:
        read.append(video)
        return iter([scored])

    monkeypatch.setattr(Recogniser, "score_seconds", score_seconds)
    with pytest.raises(ValueError, match=r"rgb \+ rgb_diff\).*for example --sure 0\.6"):
        timeline.main(options(tmp_path, video, **narrower))
    assert not read
    timeline.main(options(tmp_path, video, sure=0.6, **narrower))
    assert read == [video]
    all_of_it = {"modalities": ("rgb_diff", "rgb"), "crops": "ten_crop"}
    timeline.main(options(tmp_path, video, out=tmp_path / "all", **all_of_it))


@pytest.mark.slow
def test_files_are_made_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    video = write_wandering(tmp_path / "clip.avi", 50)
    write_recogniser(tmp_path / "toy", [video], weights={"rgb": 1.0}, predicted=[0])
    bad = tmp_path / "bad.avi"
    bad.write_text("no video")
    with pytest.raises(ValueError, match="1 of 2 videos could not be recognised"):
        timeline.main(options(tmp_path, bad, video))
    out, err = capsys.readouterr()
    assert "bad.avi: not a video file: it holds text" in err
    assert out.startswith(f"{video} (0:02)") and "as a whole: " in out
    files = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert sorted(files) == ["clip.avi.csv", "clip.avi.json", "clip.avi.png"]

    def fail(*_: object) -> Scores:
        raise AssertionError("read again")

    monkeypatch.setattr(Recogniser, "score_seconds", fail)
    timeline.main(options(tmp_path, video))
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == files
    capsys.readouterr()
    timeline.main(options(tmp_path, video, sure=0.0, json=True, top=1))
    content = json.loads(capsys.readouterr().out)
    assert content["sure_from"] == 0 and all(span["class"] for span in content["spans"])
    assert {len(second["top"]) for second in content["timeline"]} == {1}
    write_wandering(video, 60, seed=2)
    with pytest.raises(AssertionError, match="read again"):
        timeline.main(options(tmp_path, video))


def test_two_timelines_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"several videos are called a\.mp4"):
        timeline.main(options(tmp_path, tmp_path / "a.mp4", tmp_path / "b/a.mp4"))

"""Ingest of real clips: who is taken in, who is refused and why, and that nothing is lost."""

import os
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from unreadable import make_unreadable
from videos import digests, vivid_frames, write_video

from tsn.files import file_sha256
from tsn.lists import ListedVideo
from tsn.names import LONGEST
from tsn.sources.additions import Addition, read_additions
from tsn.sources.folder import SourceError
from tsn.splits import ingest as module
from tsn.splits.ingest import Dataset, Ingested, NewClip, find_clips, ingest
from tsn.splits.leakage import Findings
from tsn.splits.survey import Facts, survey

FRAMES = vivid_frames(60, 64, 48)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests' files are as new as can be."""
    monkeypatch.setattr(module, "SETTLED_SECONDS", 0.0)


def write(path: Path, first: int, codec: str = "MJPG", count: int = 8) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, FRAMES[first : first + count], codec)
    return path


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """A class with a training and a test video, and another with one test video."""
    write(tmp_path / "videos/a/train.avi", 0)
    write(tmp_path / "videos/a/test.avi", 8)
    write(tmp_path / "videos/b/test.avi", 16)
    test = [ListedVideo("a/test.avi", 0, "g", ()), ListedVideo("b/test.avi", 1, "g", ())]
    return Dataset(
        videos=tmp_path / "videos",
        classes=("a", "b"),
        digests=digests(tmp_path / "videos"),
        train=[ListedVideo("a/train.avi", 0, "h", ())],
        test=test,
    )


def run(tmp_path: Path, dataset: Dataset) -> Ingested:
    clips, misplaced = find_clips(tmp_path / "inbox")
    assert misplaced == {}
    folder, cache = tmp_path / "new", tmp_path / "cache"
    return ingest(clips, dataset, (), folder, 6, partial(survey, cache_dir=cache, workers=2), iter)


def test_good_clips_are_taken_in_once_and_stay_where_they_are(
    tmp_path: Path, dataset: Dataset
) -> None:
    new = write(tmp_path / "inbox/a/new, [1].avi", 24)
    again = tmp_path / "inbox/a/again.avi"
    again.write_bytes((tmp_path / "videos/a/train.avi").read_bytes())
    found = run(tmp_path, dataset)
    assert [row.video for row in found.taken] == ["a/new, [1].avi"]
    assert (found.known, found.refused) == (1, {})
    assert (tmp_path / "new/videos/a/new, [1].avi").read_bytes() == new.read_bytes()
    assert new.is_file() and again.is_file()
    second = run(tmp_path, dataset)
    assert (second.taken, second.known) == ((), 2)
    assert read_additions(tmp_path / "new/clips.csv") == list(found.taken)


def test_what_cannot_be_used_is_refused_with_its_reason(tmp_path: Path, dataset: Dataset) -> None:
    inbox = tmp_path / "inbox"
    reasons = {
        write(inbox / "c/1.avi", 24): "unknown class 'c'; the dataset has a, b",
        write(inbox / "a/short.avi", 32, count=3): "3 frames, expected at least 6",
        # The test video of b, encoded anew and called a.
        write(inbox / "a/leak.mp4", 16, "mp4v"): "shows the scene of the test video b/test.avi",
    }
    (inbox / "a/broken.avi").write_bytes(b"no video")
    reasons[inbox / "a/broken.avi"] = "not a video file: it holds text"
    good = write(inbox / "b/good.mp4", 40, "mp4v")
    found = run(tmp_path, dataset)
    assert found.refused == reasons
    assert [row.video for row in found.taken] == ["b/good.mp4"]
    assert good.is_file()


def test_another_clip_of_a_name_that_is_taken_gets_one_of_its_own(
    tmp_path: Path, dataset: Dataset
) -> None:
    write(tmp_path / "inbox/a/train.avi", 24)
    (row,) = run(tmp_path, dataset).taken
    assert row.video == f"a/train-{row.sha256[:8]}.avi"
    assert (tmp_path / "new/videos" / row.video).is_file()


def test_the_same_clip_twice_in_the_inbox_is_one(tmp_path: Path, dataset: Dataset) -> None:
    first = write(tmp_path / "inbox/a/1.avi", 24)
    (tmp_path / "inbox/a/2.avi").write_bytes(first.read_bytes())
    assert [row.video for row in run(tmp_path, dataset).taken] == ["a/1.avi"]


def test_a_clip_that_may_still_be_written_is_left_for_the_next_time(
    tmp_path: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "inbox/a/1.avi", 24)
    with monkeypatch.context() as patched:
        patched.setattr(module, "SETTLED_SECONDS", 3600.0)
        found = run(tmp_path, dataset)
    assert (found.taken, found.unsettled) == ((), 1)
    assert len(run(tmp_path, dataset).taken) == 1


def test_a_kill_before_the_list_is_written_costs_nothing(
    tmp_path: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "inbox/a/1.avi", 24)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(module, "write_additions", killed)
        run(tmp_path, dataset)
    assert read_additions(tmp_path / "new/clips.csv") == []
    assert [row.video for row in run(tmp_path, dataset).taken] == ["a/1.avi"]


def test_a_spreadsheet_gives_labels_and_groups(tmp_path: Path, dataset: Dataset) -> None:
    write(tmp_path / "phone/IMG 1.avi", 24)
    table = tmp_path / "new.csv"
    table.write_text("path,label,group\nphone/IMG 1.avi,b,anna\n")
    clips, _ = find_clips(table)
    folder, cache = tmp_path / "new", tmp_path / "cache"
    found = ingest(clips, dataset, (), folder, 6, partial(survey, cache_dir=cache, workers=1), iter)
    assert [(row.video, row.group) for row in found.taken] == [("b/IMG 1.avi", "anna")]


def test_a_spreadsheets_bad_lines_are_refused_alone(tmp_path: Path) -> None:
    write(tmp_path / "1.avi", 24)
    table = tmp_path / "new.csv"
    table.write_text("path,label\nnone.avi,a\n1.avi,a\n")
    clips, problems = find_clips(table)
    assert [clip.path for clip in clips] == [tmp_path / "1.avi"]
    assert list(problems) == [tmp_path / "new.csv:2"]
    assert "no such video" in problems[tmp_path / "new.csv:2"]
    table.write_text("path,label\n")
    assert find_clips(table) == ([], {})


def test_bytes_of_two_classes_are_of_none(tmp_path: Path, dataset: Dataset) -> None:
    inbox = tmp_path / "inbox"
    first = write(inbox / "a/1.avi", 24)
    for name, source in (("b/1.avi", first), ("b/2.avi", tmp_path / "videos/a/train.avi")):
        (inbox / name).parent.mkdir(exist_ok=True)
        (inbox / name).write_bytes(source.read_bytes())
    found = run(tmp_path, dataset)
    assert found.taken == ()
    assert found.refused == {
        inbox / "a/1.avi": "the same bytes under a, b (in the inbox)",
        inbox / "b/1.avi": "the same bytes under a, b (in the inbox)",
        inbox / "b/2.avi": "the same bytes under a, b (the dataset has it as a/train.avi)",
    }


def test_a_known_clip_is_known_however_its_class_is_encoded(
    tmp_path: Path, dataset: Dataset
) -> None:
    one, two = (unicodedata.normalize(form, "Été") for form in ("NFC", "NFD"))
    write(tmp_path / "inbox" / two / "1.avi", 24)
    digest = file_sha256(tmp_path / "inbox" / two / "1.avi")
    dataset = replace(
        dataset, classes=(one, "b"), digests={f"{two}/1.avi": digest}, train=[], test=[]
    )
    found = run(tmp_path, dataset)
    assert (found.known, found.refused) == (1, {})


def test_what_was_taken_in_earlier_is_known_wherever_it_lies(
    tmp_path: Path, dataset: Dataset
) -> None:
    clip = write(tmp_path / "inbox/a/1.avi", 24)
    before = [Addition("a/1.avi", "", file_sha256(clip))]
    clips, _ = find_clips(tmp_path / "inbox")
    folder, cache = tmp_path / "new", tmp_path / "cache"
    found = ingest(
        clips, dataset, before, folder, 6, partial(survey, cache_dir=cache, workers=1), iter
    )
    assert (found.taken, found.known) == ((), 1)


def test_files_outside_a_class_folder_and_a_missing_inbox_are_told(tmp_path: Path) -> None:
    for name in ("none", "none.csv"):
        with pytest.raises(SourceError, match="no such"):
            find_clips(tmp_path / name)
    (tmp_path / "inbox/a").mkdir(parents=True)
    (tmp_path / "inbox/1.avi").write_bytes(b"")
    (tmp_path / "inbox/a/.hidden").write_bytes(b"")
    clips, misplaced = find_clips(tmp_path / "inbox")
    assert clips == []
    assert list(misplaced) == [tmp_path / "inbox/1.avi"]


def test_what_is_odd_is_refused_by_name_and_the_rest_taken_in(
    tmp_path: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox, outside = tmp_path / "inbox", tmp_path / "outside"
    good = write(inbox / "a/good.avi", 24)
    write(outside / "secret.avi", 40)
    for path in (outside / "c/1.avi", inbox / "a/locked.avi"):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(good.read_bytes())
    make_unreadable(inbox / "a/locked.avi", monkeypatch)
    (inbox / "b").mkdir()
    for name, target in {
        "a/broken.avi": "nowhere",
        "a/circle.avi": "circle.avi",
        "a/hop.avi": "../../hop",
        "a/secret.avi": outside / "secret.avi",
        "a/up": "..",
        "a/within.avi": "good.avi",
        "c": outside / "c",
        "up": "..",
    }.items():
        (inbox / name).symlink_to(target)
    (tmp_path / "hop").symlink_to("outside/secret.avi")
    for raw in (b"a/caf\xe9.avi", b"a/" + b"x" * 252):
        Path(os.fsdecode(os.fsencode(inbox) + b"/" + raw)).write_bytes(b"abc")
    clips, refused = find_clips(inbox)
    assert [clip.path.name for clip in clips] == ["good.avi", "within.avi"]
    out = f"a link that leads out of {inbox}"
    assert {str(path.relative_to(inbox))[:20]: text for path, text in refused.items()} == {
        "a/broken.avi": "a broken link",
        "a/caf\udce9.avi": "its name is not UTF-8; rename it",
        "a/circle.avi": "a link that leads to itself",
        "a/hop.avi": out,
        "a/locked.avi": "may not be read; change its permissions",
        "a/secret.avi": out,
        "a/up": f"a folder, expected <class>/<clip> below {inbox}",
        f"a/{'x' * 18}": "its name has 252 bytes, at most 251 can be; rename it",
        "c": out,
        "up": out,
    }
    folder, cache = tmp_path / "new", tmp_path / "cache"
    found = ingest(clips, dataset, (), folder, 6, partial(survey, cache_dir=cache, workers=1), iter)
    assert [row.video for row in found.taken] == ["a/good.avi"] and found.refused == {}


def test_an_inbox_that_is_a_link_holds_what_lies_there(tmp_path: Path) -> None:
    write(tmp_path / "disk/a/1.avi", 24)
    (tmp_path / "inbox").symlink_to("disk")
    clips, refused = find_clips(tmp_path / "inbox")
    assert [clip.label for clip in clips] == ["a"] and refused == {}


def test_a_spreadsheet_in_an_inbox_leads_out_by_its_own_word_only(tmp_path: Path) -> None:
    write(tmp_path / "phone/1.avi", 24)
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox/link.avi").symlink_to("../phone/1.avi")
    table = tmp_path / "inbox/new.csv"
    table.write_text("path;label;group\n;;\nlink.avi;a;\n../phone/1.avi;b;\n")
    clips, refused = find_clips(table)
    assert [clip.label for clip in clips] == ["b"]
    assert list(refused) == [tmp_path / "inbox/new.csv:3"]
    assert refused[tmp_path / "inbox/new.csv:3"].endswith(f"leads out of {tmp_path / 'inbox'}")


def test_dots_in_the_path_of_an_inbox_do_not_open_its_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "secret.mp4").write_bytes(b"abc")
    (tmp_path / "in/x.mp4").symlink_to("../secret.mp4")
    (tmp_path / "in/c.csv").write_text("path,label\nx.mp4,a\n../in/x.mp4,b\n../secret.mp4,c\n")
    monkeypatch.chdir(tmp_path / "in")
    for inbox in ("c.csv", "../in/c.csv", "../../" + tmp_path.name + "/in/c.csv"):
        clips, refused = find_clips(Path(inbox))
        assert [clip.label for clip in clips] == ["c"] and len(refused) == 2


@pytest.mark.parametrize("swap", ["link", "pipe", "gone", "folder"])
@pytest.mark.parametrize("moment", ["hashed", "copied"])
def test_a_file_that_becomes_another_costs_itself_alone(
    tmp_path: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch, swap: str, moment: str
) -> None:
    clip, secret = write(tmp_path / "inbox/a/1.avi", 24), write(tmp_path / "secret.avi", 48)
    write(tmp_path / "inbox/a/2.avi", 32)

    def become(path: Path) -> None:
        path.unlink()
        if swap == "link":
            path.symlink_to(secret)
        elif swap == "pipe":
            os.mkfifo(path)
        elif swap == "folder":
            path.mkdir()

    def look(folder: Path, videos: Mapping[str, str]) -> Iterator[tuple[str, Facts]]:
        if moment == "copied" and folder == Path("/"):
            become(clip)
        return ((video, Facts(frames=100)) for video in videos)

    def report(paths: Sequence[Path]) -> Sequence[Path]:
        if moment == "hashed":
            become(clip)
        return paths

    monkeypatch.setattr(module, "find_leaks", lambda *_: Findings([], []))
    clips, _ = find_clips(tmp_path / "inbox")
    found = ingest(clips, dataset, (), tmp_path / "new", 6, look, report)
    assert [row.video for row in found.taken] == ["a/2.avi"]
    assert found.refused == {
        clip: {
            "link": f"a link that leads out of {tmp_path / 'inbox'}",
            "pipe": "no ordinary file",
            "gone": "no such video file",
            "folder": "a folder, expected a file",
        }[swap]
    }
    assert digests(tmp_path / "new/videos").keys() == {"a/2.avi"}


def test_a_copy_of_other_bytes_does_not_stay(
    tmp_path: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = write(tmp_path / "inbox/a/1.avi", 24)

    def copy(_: Path, target: Path) -> None:
        target.parent.mkdir(parents=True)
        target.write_bytes(b"swapped")

    def look(_: Path, videos: Mapping[str, str]) -> Iterator[tuple[str, Facts]]:
        return ((video, Facts(frames=100)) for video in videos)

    monkeypatch.setattr(module, "copy_file", copy)
    clips, _ = find_clips(tmp_path / "inbox")
    found = ingest(clips, dataset, (), tmp_path / "new", 6, look, iter)
    assert found.taken == () and found.refused[clip].startswith("changed while it was looked at")
    assert not digests(tmp_path / "new/videos")


def test_a_folder_that_can_no_longer_be_asked_costs_its_clips(
    tmp_path: Path, dataset: Dataset
) -> None:
    write(tmp_path / "inbox/a/1.avi", 24)
    clip = NewClip(tmp_path / "inbox/b/1.avi/none.avi", "b", "", tmp_path / "inbox")
    circle = NewClip(tmp_path / "inbox/b/circle", "b", "", tmp_path / "inbox")
    write(clip.path.parent, 32)
    circle.path.symlink_to("circle")
    look = partial(survey, cache_dir=tmp_path / "cache", workers=1)
    found = ingest([clip, circle], dataset, (), tmp_path / "new", 6, look, iter)
    refused = {clip.path: "no such video file", circle.path: "a link that leads to itself"}
    assert found.refused == refused and found.unsettled == 0


def test_a_file_that_cannot_be_read_any_more_is_refused_alone(
    tmp_path: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = write(tmp_path / "inbox/a/1.avi", 24)
    write(tmp_path / "inbox/a/2.avi", 32)

    def lose(paths: list[Path]) -> list[Path]:
        lost.unlink()
        return paths

    clips, _ = find_clips(tmp_path / "inbox")
    folder, cache = tmp_path / "new", tmp_path / "cache"
    found = ingest(clips, dataset, (), folder, 6, partial(survey, cache_dir=cache, workers=1), lose)
    assert [row.video for row in found.taken] == ["a/2.avi"]
    assert found.refused == {lost: "no such video file"}


def test_a_class_in_other_letters_is_that_class_or_told(tmp_path: Path, dataset: Dataset) -> None:
    dataset = replace(dataset, classes=("ä", "b"))
    write(tmp_path / "inbox" / unicodedata.normalize("NFD", "ä") / "1.avi", 24)
    other = write(tmp_path / "inbox/B/2.avi", 32)
    found = run(tmp_path, dataset)
    assert [row.video for row in found.taken] == ["ä/1.avi"]
    assert found.refused == {other: "unknown class 'B'; the dataset has ä, b; perhaps 'b' is meant"}


@pytest.mark.parametrize("name", ["é" * 123 + "a.avi", "x." + "y" * 249])
def test_a_name_of_its_own_is_no_longer_than_a_name_can_be(
    tmp_path: Path, dataset: Dataset, name: str
) -> None:
    clip = write(tmp_path / "1.avi", 24)
    (tmp_path / "inbox/a").mkdir(parents=True)
    clip.rename(tmp_path / "inbox/a" / name)
    dataset = replace(dataset, digests={**dataset.digests, f"a/{name}": "0" * 64})
    (row,) = run(tmp_path, dataset).taken
    assert row.video != f"a/{name}" and len(Path(row.video).name.encode()) <= LONGEST
    assert f"-{row.sha256[:8]}" in row.video
    assert (tmp_path / "new/videos" / row.video).is_file()

"""Videos that a CSV file lists: names, groups, and every line that cannot be used."""

import unicodedata
from pathlib import Path

import pytest
from unreadable import make_unreadable

from tsn.sources.csv_file import CsvConfig, fetch_csv
from tsn.sources.folder import SourceError, folder_videos

CLIPS = ("phone/IMG_1.MOV", "tablet/IMG_1.MOV", "phone/Best! (1) [x];&'é.mp4")


def fetch(root: Path, text: str, encoding: str = "utf-8") -> list[str]:
    for clip in CLIPS:
        (root / "in" / clip).parent.mkdir(parents=True, exist_ok=True)
        (root / "in" / clip).write_bytes(clip.encode())
    (root / "own.csv").write_text(text, encoding=encoding)
    config = CsvConfig(file=str(root / "own.csv"), root=str(root / "in"))
    return list(fetch_csv(config, root / "videos", root / "lists"))


def test_clips_go_to_their_labels_and_keep_apart(tmp_path: Path) -> None:
    text = "label,path,group\nwave,phone/IMG_1.MOV,ann\nwave,tablet/IMG_1.MOV,bob\n"
    text += '"hop, skip","phone/Best! (1) [x];&\'é.mp4",ann\n'
    videos = fetch(tmp_path, text, "utf-8-sig")
    assert videos == [
        "hop, skip/Best! (1) [x];&'é.mp4",
        "wave/phone_IMG_1.MOV",
        "wave/tablet_IMG_1.MOV",
    ]
    assert folder_videos(tmp_path / "videos") == videos
    assert (tmp_path / "videos/wave/tablet_IMG_1.MOV").read_bytes() == b"tablet/IMG_1.MOV"
    assert (tmp_path / "lists/clips.csv").read_text().splitlines() == [
        "video,group,split",
        '"hop, skip/Best! (1) [x];&\'é.mp4",ann,',
        "wave/phone_IMG_1.MOV,ann,",
        "wave/tablet_IMG_1.MOV,bob,",
    ]


def test_a_name_that_only_one_clip_has_stays(tmp_path: Path) -> None:
    text = f"path,label,split\n{CLIPS[0]},wave,train\n{tmp_path / 'in' / CLIPS[1]},hop,test\n"
    assert fetch(tmp_path, text) == ["hop/IMG_1.MOV", "wave/IMG_1.MOV"]
    assert (tmp_path / "lists/clips.csv").read_text().endswith("wave/IMG_1.MOV,,train\n")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "columns none, expected path, label"),
        (
            "path|label\na|b\n",
            "columns path.label, expected .* separated by commas, semicolons or tabs",
        ),
        ("path,label,label\na,b,c\n", "columns path, label, label, expected"),
        (f"path,label,\n{CLIPS[0]},wave,why?\n", "line 2: has more or fewer values"),
        (f"path,label\n{CLIPS[0]},{'x' * 252}\n", "line 2: label 'x*', expected a name"),
        ('path,label\n"a.mp4,wave\nb.mp4,hop\n', r"line 2: not CSV \(.*close its quotes"),
        ('path,label\na.mp4,wave\nb.mp4,"hop\n"c.mp4",hop\n', "line 3: not CSV"),
        (
            f'path,label,group\n{CLIPS[0]},a,"ann\n{CLIPS[1]},b,"\n',
            r"line 2: group 'ann.n.*expected one line; perhaps a quote is open",
        ),
        ("path,label\n..,wave\n", "line 2: .*: a folder, expected a file"),
        ("path,label,colour\na,b,c\n", "columns path, label, colour"),
        ("path,label\n", "lists no videos"),
        ("path,label\nnowhere.mp4,wave\n", "lists no videos\n.*line 2: no such video: .*nowhere"),
        ("path,label\n,wave\n", "line 2: no such video"),
        ("path,label\nphone/IMG_1.MOV,\n", "line 2: label ''"),
        ("path,label\nphone/IMG_1.MOV,../x\n", "line 2: label '../x'"),
        ("path,label\nphone/IMG_1.MOV\n", "line 2: has more or fewer values"),
        ("path,label\nphone/IMG_1.MOV,a,b\n", "line 2: has more or fewer values"),
        ("path,label,split\nphone/IMG_1.MOV,a,dev\n", "line 2: split 'dev', expected train"),
        (
            "path,label,split\nphone/IMG_1.MOV,a,test\ntablet/IMG_1.MOV,a,\n",
            "some lines have a split and some have none",
        ),
        (
            "path,label\nphone/IMG_1.MOV,a\nphone/../phone/IMG_1.MOV,a\n",
            "line 3: .* as line 2 is",
        ),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(SourceError, match=reason):
        fetch(tmp_path, text)
    assert not (tmp_path / "videos").exists()


def test_a_missing_or_foreign_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"none\.csv: no such file"):
        next(fetch_csv(CsvConfig(file="none.csv", root=""), tmp_path, tmp_path))
    with pytest.raises(SourceError, match="not CSV in UTF-8"):
        fetch(tmp_path, "path,label\nphone/IMG_1.MOV,Übung\n", "latin-1")


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_file_as_excel_writes_it(tmp_path: Path, separator: str) -> None:
    lines = (",,,", "Path,Label,,", ",,,", f"{CLIPS[0]},wave,,", ",,,", f"{CLIPS[1]},hop,,", ",,,")
    text = "".join(f"{line}\r\n" for line in lines).replace(",", separator)
    assert fetch(tmp_path, text, "utf-8-sig") == ["hop/IMG_1.MOV", "wave/IMG_1.MOV"]


def test_a_file_that_cannot_be_taken_costs_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("locked.mp4", ".hidden.mp4"):
        (folder / name).write_bytes(b"abc")
    make_unreadable(folder / "locked.mp4", monkeypatch)
    (folder / "broken.mp4").symlink_to("nowhere")
    deep = Path("d" * 130, "e" * 130)
    for part in (deep / "IMG.MOV", Path("IMG.MOV")):  # named by their whole paths
        (folder / part).parent.mkdir(parents=True, exist_ok=True)
        (folder / part).write_bytes(str(part).encode())
    paths = ("locked.mp4", ".hidden.mp4", "broken.mp4", "x" * 300, "phone", deep / "IMG.MOV")
    lines = "".join(f"{path},wave\n" for path in (*paths, "IMG.MOV", CLIPS[0]))
    assert fetch(tmp_path, f"path,label\n{lines}") == ["wave/IMG.MOV", "wave/IMG_1.MOV"]
    told = [record.getMessage() for record in caplog.records]
    reasons = (
        "locked.mp4: may not be read; change its permissions",
        ".hidden.mp4: hidden; rename it",
        "broken.mp4: a broken link",
        "x: its name has 300 bytes, at most 251 can be; rename it",
        "phone: a folder, expected a file",
        "IMG.MOV: its name has 269 bytes",
    )
    for number, (line, reason) in enumerate(zip(told, reasons, strict=True), 2):
        assert f"own.csv line {number}: " in line and reason in line


def test_a_path_in_another_encoding_of_its_letters_is_found(tmp_path: Path) -> None:
    apart = unicodedata.normalize("NFD", "Türen/é.mp4")
    (tmp_path / "in" / apart).parent.mkdir(parents=True)
    (tmp_path / "in" / apart).write_bytes(b"abc")
    listed = unicodedata.normalize("NFC", apart)
    assert fetch(tmp_path, f"path,label\n{listed},a\n") == [f"a/{Path(apart).name}"]


@pytest.mark.parametrize("first", ["sep=;", '"sep=;"', "SEP=;\r"])
def test_excels_word_on_the_separator_is_no_header(tmp_path: Path, first: str) -> None:
    assert fetch(tmp_path, f"{first}\npath;label\n{CLIPS[0]};wave\n") == ["wave/IMG_1.MOV"]


def test_a_clips_name_does_not_depend_on_another_ones_health(tmp_path: Path) -> None:
    text = f"path,label\n{CLIPS[0]},wave\nlost/IMG_1.MOV,wave\n"
    assert fetch(tmp_path, text) == ["wave/phone_IMG_1.MOV"]


def test_lines_are_numbered_where_they_begin(tmp_path: Path) -> None:
    text = f'path,label\n"{CLIPS[0]}",wave\n\n"phone\n/x",\n'
    with pytest.raises(SourceError, match="line 4: label ''"):
        fetch(tmp_path, text)

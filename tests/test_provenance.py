"""What a result is made of, and the refusal to finish when that changed meanwhile."""

import hashlib
import os
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from stages.runtime import machine, provenance
from stages.runtime.provenance import fingerprint, unchanged

PARAMS = "recipes:\n  one: {rate: 1, steps: [1, 2]}\n  two: {rate: 2}\n"


@dataclass(frozen=True)
class Config:
    rate: float
    name: str


CONFIG = Config(0.1, "ü")
CELL = {"dataset": "d", "split": 1, "modality": "rgb"}


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of one code file, one input folder and one input file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(PARAMS)
    (tmp_path / "code.py").write_text("answer = 42\n")
    (tmp_path / "stream/a").mkdir(parents=True)
    (tmp_path / "stream/a/v.zip").write_bytes(b"abc")
    (tmp_path / "list.csv").write_text("video\n")
    monkeypatch.setattr(provenance, "PROJECT_ROOT", tmp_path)
    monkeypatch.setattr(provenance, "code_files", lambda *_: [tmp_path / "code.py"])
    return tmp_path


def current(config: Config = CONFIG) -> str:
    return fingerprint(CELL, config, [Path("list.csv"), Path("stream/a/v.zip")])


def test_fingerprint_is_stable_and_does_not_see_the_clock() -> None:
    before = current()
    for path in (Path("list.csv"), Path("code.py")):
        os.utime(path, (1, 1))
    assert current() == before
    assert len(before) == 64


def test_fingerprint_does_not_depend_on_where_the_project_lies(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = current()
    elsewhere = project / "elsewhere"
    elsewhere.mkdir()
    for name in ("list.csv", "stream", "code.py"):
        (project / name).rename(elsewhere / name)
    monkeypatch.chdir(elsewhere)
    monkeypatch.setattr(provenance, "code_files", lambda *_: [elsewhere / "code.py"])
    assert current() == before


def test_fingerprint_changes_with_everything_it_is_made_of() -> None:
    seen = {current(), current(replace(CONFIG, rate=0.2)), current(replace(CONFIG, name="u"))}
    for path in ("list.csv", "stream/a/v.zip", "code.py"):
        Path(path).write_text("something else")
        seen.add(current())
    assert len(seen) == 6


def test_fingerprint_tells_files_apart_by_their_place() -> None:
    files = [Path("list.csv"), Path("code.py")]
    assert fingerprint(CELL, CONFIG, files) != fingerprint(CELL, CONFIG, files[::-1])
    assert fingerprint(CELL, CONFIG, files) != fingerprint(CELL, CONFIG, files[:1])


def test_digest_is_sha256_of_sorted_json() -> None:
    expected = hashlib.sha256(b'{"a": 1, "b": 2}').hexdigest()
    assert provenance.digest({"b": 2, "a": 1}) == expected


def test_nothing_changed_is_no_error(project: Path) -> None:
    with unchanged(["recipes.one"], [project / "stream", project / "list.csv"]):
        (project / "output.txt").write_text("not an input")


def edit(path: Path, text: str) -> None:
    path.write_text(text)
    os.utime(path, ns=(path.stat().st_mtime_ns + 1,) * 2)  # however coarse the file system's clock


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("params.yaml", PARAMS.replace("rate: 1", "rate: 3"), r"ran: params\.yaml recipes\.one"),
        ("list.csv", "video\na\n", r"ran: .*list\.csv\. Nothing was recorded"),
        ("list.csv", "vidEo\n", r"ran: .*list\.csv"),
        ("stream/a/v.zip", "abcd", r"ran: .*stream/a/v\.zip"),
        ("stream/b.zip", "new", r"ran: .*stream/b\.zip"),
        ("code.py", "answer = 43\n", r"ran: code\.py\. .*run `dvc repro` again"),
    ],
)
def test_change_of_an_input_is_refused(project: Path, name: str, text: str, message: str) -> None:
    with (
        pytest.raises(ValueError, match=message),
        unchanged(["recipes.one"], [project / "stream", project / "list.csv"]),
    ):
        edit(project / name, text)


def test_change_of_a_second_section_is_refused(project: Path) -> None:
    with (
        pytest.raises(ValueError, match=r"ran: params\.yaml recipes\.two\."),
        unchanged(["recipes.one", "recipes.two"], []),
    ):
        edit(project / "params.yaml", PARAMS.replace("rate: 2", "rate: 9"))


def test_removed_input_is_refused(project: Path) -> None:
    with (
        pytest.raises(ValueError, match=r"changed while this stage ran: .*v\.zip"),
        unchanged(["recipes.one"], [project / "stream"]),
    ):
        (project / "stream/a/v.zip").unlink()


@pytest.mark.parametrize(
    "text",
    [
        PARAMS.replace("rate: 2", "rate: 9"),
        PARAMS + "  three: {rate: 3}\n",
        "# a comment\n" + PARAMS.replace("{rate: 1, steps: [1, 2]}", "{steps: [1, 2], rate: 1}"),
    ],
    ids=["other_recipe", "new_recipe", "same_meaning"],
)
def test_change_of_something_else_is_not(project: Path, text: str) -> None:
    with unchanged(["recipes.one"], [project / "stream"]):
        edit(project / "params.yaml", text)
        edit(project / "list.csv", "not an input of this stage")


def test_error_of_the_stage_itself_comes_first(project: Path) -> None:
    with pytest.raises(KeyError, match="stage"), unchanged(["recipes.one"], []):
        edit(project / "code.py", "changed")
        raise KeyError("stage")


def test_missing_section_and_input_are_refused_at_once(project: Path) -> None:
    with (
        pytest.raises(ValueError, match=r"recipes\.nine: missing"),
        unchanged(["recipes.nine"], []),
    ):
        pytest.fail("the block must not run")
    with (
        pytest.raises(FileNotFoundError, match=r"nowhere\.csv"),
        unchanged(["recipes.one"], [project / "nowhere.csv"]),
    ):
        pytest.fail("the block must not run")


def test_code_files_are_the_projects_own_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    found = provenance.code_files("stages")
    assert Path(machine.__file__) in found
    assert Path(provenance.__file__) not in found  # it carries results and shapes none
    assert found == sorted(found)
    assert all("stages" in path.parts for path in found)

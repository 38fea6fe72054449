"""What a result is made of, and the refusal to finish when that changed meanwhile."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from stages.runtime import machine, provenance
from stages.runtime.options import StageOptions, input_path, option
from stages.runtime.provenance import fingerprint, unchanged

RECIPE = "one: {rate: 1, steps: [1, 2]}\ntwo: {rate: 2}\n"
PARAMS = "splits: [1]\nmodalities: [rgb]\n"


@dataclass(frozen=True, kw_only=True)
class Options(StageOptions):
    recipe_sections = ("{name}",)
    params_sections = ("splits",)

    dataset: str = option("a recipe", default="d")
    name: str = option("a section", default="one")
    stream: Path = input_path("a folder")
    list: Path = input_path("a file")


def options(project: Path, name: str = "one") -> Options:
    return Options(name=name, stream=project / "stream", list=project / "list.csv")


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
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes/d.yaml").write_text(RECIPE)
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


def edit(path: Path, text: str) -> None:
    path.write_text(text)
    os.utime(path, ns=(path.stat().st_mtime_ns + 1,) * 2)  # however coarse the file system's clock


def refusal(project: Path, name: str, text: str) -> str:
    """Return what a stage is told that edits a file while it runs; "" if it may finish."""
    try:
        with unchanged(options(project)):
            edit(project / name, text)
    except ValueError as error:
        return str(error)
    return ""


def test_nothing_changed_is_no_error(project: Path) -> None:
    assert refusal(project, "output.txt", "not an input") == ""
    assert refusal(project, "list.csv", "an input") != ""


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("recipes/d.yaml", RECIPE.replace("rate: 1", "rate: 3"), r"ran: recipes/d\.yaml one\."),
        ("params.yaml", PARAMS.replace("[1]", "[2]"), r"ran: params\.yaml splits\."),
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
        unchanged(options(project)),
    ):
        edit(project / name, text)


def test_change_of_a_further_file_is_refused(project: Path) -> None:
    (project / "also.py").write_text("x = 1\n")
    with (
        pytest.raises(ValueError, match=r"ran: .*also\.py\."),
        unchanged(options(project), [project / "also.py"]),
    ):
        edit(project / "also.py", "x = 2\n")


def test_removed_input_is_refused(project: Path) -> None:
    with (
        pytest.raises(ValueError, match=r"changed while this stage ran: .*v\.zip"),
        unchanged(options(project)),
    ):
        (project / "stream/a/v.zip").unlink()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("recipes/d.yaml", RECIPE.replace("rate: 2", "rate: 9")),
        ("recipes/d.yaml", RECIPE + "three: {rate: 3}\n"),
        (
            "recipes/d.yaml",
            "# note\n" + RECIPE.replace("{rate: 1, ", "{").replace("2]", "2], rate: 1"),
        ),
        ("params.yaml", PARAMS.replace("rgb", "flow")),
        ("other.csv", "not an input of this stage"),
    ],
    ids=["other_section", "new_section", "same_meaning", "other_key", "other_file"],
)
def test_change_of_something_else_is_not(project: Path, name: str, text: str) -> None:
    (project / name).touch()
    assert refusal(project, name, text) == ""
    assert (project / name).read_text() == text


def test_error_of_the_stage_itself_comes_first(project: Path) -> None:
    with pytest.raises(KeyError, match="stage"), unchanged(options(project)):
        edit(project / "code.py", "changed")
        raise KeyError("stage")


def test_missing_section_and_input_are_refused_at_once(project: Path) -> None:
    with (
        pytest.raises(ValueError, match=r"d\.yaml: nine: missing"),
        unchanged(options(project, "nine")),
    ):
        pytest.fail("the block must not run")
    (project / "list.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"list\.csv"), unchanged(options(project)):
        pytest.fail("the block must not run")


def test_code_files_are_the_projects_own_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    found = provenance.code_files("stages")
    assert Path(machine.__file__) in found
    assert Path(provenance.__file__) not in found  # it carries results and shapes none
    assert found == sorted(found)
    assert all("stages" in path.parts for path in found)


def test_links_that_lead_nowhere_are_files_like_others(project: Path) -> None:
    (project / "stream/broken").symlink_to("nowhere")
    (project / "stream/circle").symlink_to("circle")
    with unchanged(options(project)):
        pass
    with pytest.raises(ValueError, match=r"changed .*stream/broken"), unchanged(options(project)):
        (project / "stream/broken").unlink()

"""The command `tsn`: its help, where it works, and which code it runs."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result
from videos import write_pan
from workspace import BINARIES, ROOT, copy_project, copy_smallest_project, dvc, environment

from flows.cli.__main__ import app
from flows.cli.frame import find_root


def tsn(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [BINARIES / "tsn", *words], cwd=folder, capture_output=True, text=True, env=os.environ
    )


def tsn_here(folder: Path, *words: str) -> Result:
    """The same in this process, which has loaded what takes seconds already."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return CliRunner().invoke(app, list(words))


COMMANDS = [command.name or str(command.callback.__name__) for command in app.registered_commands]


def test_help_shows_every_command_with_an_example() -> None:
    text = CliRunner().invoke(app, ["--help"]).output
    assert len(COMMANDS) == 21
    for name in COMMANDS:
        assert f"\n  {name} " in text and f"$ tsn {name}" in text


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_ends_with_an_example(name: str) -> None:
    done = CliRunner().invoke(app, [name, "--help"])
    assert done.exit_code == 0
    assert f"\n    tsn {name}" in done.output[done.output.index("Example") :]


def test_the_readme_is_short_and_its_commands_are_there() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) < 150
    named = re.findall(r"(?:^|`)tsn (\w+)", text, flags=re.MULTILINE)
    assert {"repro", "new", "check"} <= set(named) <= set(COMMANDS)
    options = re.findall(r"`tsn (\w+)[^`\n]* (--[a-z-]+)", text)
    assert ("repro", "--quick") in options
    for name, option in options:
        assert f" {option} " in CliRunner().invoke(app, [name, "--help"]).output


def test_help_loads_nothing_heavy() -> None:
    program = """
import sys
sys.argv = ["tsn", "recognise", "--help"]
from flows.cli.__main__ import main
try:
    main()
except SystemExit:
    print(sorted({"torch", "mlflow", "prefect", "dvc", "numpy", "rich"} & sys.modules.keys()))
"""
    done = subprocess.run(
        [BINARIES / "python", "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_check_needs_no_pytorch(tmp_path: Path) -> None:
    project = tmp_path / "project"
    copy_smallest_project(project)
    dvc(project, "init", "--no-scm", "--force")
    program = """
import sys
sys.argv = ["tsn", "check", "synthetic"]
from flows.cli.__main__ import main
try:
    main()
except SystemExit as end:
    print(end.code, sorted({"torch", "torchvision", "timm", "mlflow"} & sys.modules.keys()))
"""
    done = subprocess.run(
        [BINARIES / "python", "-c", program],
        cwd=project,
        env=environment(project),
        capture_output=True,
        text=True,
        check=True,
    )
    assert "synthetic: 30 clips of 10 classes" in done.stdout, done.stderr
    assert done.stdout.splitlines()[-1] == "0 []"


def test_outside_a_project_it_says_so(tmp_path: Path) -> None:
    done = tsn(tmp_path, "show")
    assert done.returncode == 1
    assert done.stderr.startswith(f"tsn: {tmp_path} is in no project; change to your clone")


def test_it_runs_the_code_of_the_project_that_it_is_called_in(tmp_path: Path) -> None:
    copy_project(ROOT, tmp_path, ("tsn", "stages", "flows", "params.yaml", "dvc.yaml", "recipes"))
    program = tmp_path / "stages/operate/show.py"
    program.write_text(program.read_text().replace("no result yet", "nothing here"))
    done = tsn(tmp_path / "recipes", "show")
    assert "synthetic: nothing here" in done.stdout, done.stderr
    assert find_root(tmp_path / "recipes") == tmp_path


def test_expected_errors_are_one_line(tmp_path: Path) -> None:
    copy_project(ROOT, tmp_path, ("params.yaml", "dvc.yaml", "recipes"))
    shutil.copy(tmp_path / "recipes/weizmann.yaml", tmp_path / "recipes/mine.yaml")
    done = tsn(tmp_path, "look", str(tmp_path / "params.yaml"), "nonesuch")
    assert done.returncode == 1
    assert "tsn look: recipes/nonesuch.yaml: no such recipe; there are: " in done.stderr
    assert "Traceback" not in done.stderr
    told = tsn_here(tmp_path, "compare", "nonesuch").stderr
    assert told.endswith("; to compare two results, name both: tsn compare A B\n")
    assert "--json is for two results" in tsn_here(tmp_path, "compare", "--json").stderr
    text = (tmp_path / "params.yaml").read_text().replace("[synthetic]", "[synthetic, mine]")
    (tmp_path / "params.yaml").write_text(text)
    told = tsn_here(tmp_path, "promote").stderr
    assert "tsn promote: say which dataset, by its name: params.yaml has synthetic, mine" in told


def test_a_new_recipe_finds_its_videos_from_any_folder(tmp_path: Path) -> None:
    """Below the inbox by the path that worktrees share, elsewhere by the whole one."""
    copy_project(ROOT, tmp_path, ("params.yaml", "dvc.yaml", "recipes"))
    for folder in (tmp_path / "inbox/clips", tmp_path / "own clips"):
        for name in ("run/ira_a.avi", "run/eli_a.avi", "jump/ira_b.avi", "jump/eli_b.avi"):
            write_pan(folder / name, num_frames=8)
    done = tsn_here(tmp_path / "inbox", "new", "one", "--videos", "clips")
    assert done.exit_code == 0, done.output
    done = tsn_here(tmp_path / "recipes", "new", "two", "--videos", "../own clips")
    assert done.exit_code == 0, done.output
    assert "videos: inbox/clips\n" in (tmp_path / "recipes/one.yaml").read_text()
    assert f"videos: {tmp_path}/own clips\n" in (tmp_path / "recipes/two.yaml").read_text()
    assert "datasets: [one, two]" in (tmp_path / "params.yaml").read_text()

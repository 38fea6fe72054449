"""dvc.yaml against the code: a stage depends on the modules it imports, and on no other."""

import json
import subprocess
import sys
from typing import Any

import grimp
import pytest
from ruamel.yaml import YAML
from workspace import ROOT

from stages.runtime.provenance import NEUTRAL_MODULES

# Modules that no result depends on: an edit of one of these runs nothing again.
NO_RESULT = {"stages", "tsn", *NEUTRAL_MODULES}
# Paths of a command that are no dependency of its stage, and why.
HELD_ELSEWHERE = {
    # It holds an output of the same stage; `fuse` writes the same numbers to plots, too.
    ("report", "metrics/${item.dataset}"),
}
LIGHT = ["download", "split", "extract", "look"]
PROGRAMS = [
    f"operate.{name}" for name in ("check", "fill", "promote", "recognise", "show", "sync")
]  # run by people, not by DVC


def load_stages() -> dict[str, dict[str, Any]]:
    stages: dict[str, dict[str, Any]] = YAML(typ="safe", pure=True).load(ROOT / "dvc.yaml")[
        "stages"
    ]
    return stages


STAGES = load_stages()


def paths(entries: list[Any]) -> set[str]:
    """The paths of a list of deps or outs, where an entry is a path or {path: options}."""
    return {path for entry in entries for path in ([entry] if isinstance(entry, str) else entry)}


def outputs_of(row: Any) -> set[str]:
    return {path for kind in ("outs", "metrics", "plots") for path in paths(row.get(kind, []))}


@pytest.fixture(scope="module")
def imports() -> grimp.ImportGraph:
    return grimp.build_graph("tsn", "stages", cache_dir=None, exclude_type_checking_imports=True)


@pytest.mark.parametrize("stage", STAGES)
def test_stage_depends_on_exactly_the_modules_it_imports(
    imports: grimp.ImportGraph, stage: str
) -> None:
    module = f"stages.{stage}"
    imported = {module, *imports.find_upstream_modules(module)} - NO_RESULT
    expected = {f"{name.replace('.', '/')}.py" for name in imported}
    listed = {path for path in paths(STAGES[stage]["deps"]) if path.endswith(".py")}
    assert {"missing": sorted(expected - listed), "idle": sorted(listed - expected)} == {
        "missing": [],
        "idle": [],
    }


@pytest.mark.parametrize("stage", STAGES)
def test_listed_code_is_there(stage: str) -> None:
    code = [p for p in paths(STAGES[stage]["deps"]) if p.startswith(("stages/", "tsn/"))]
    assert f"stages/{stage}.py" in code
    assert [path for path in code if not (ROOT / path).is_file()] == []


@pytest.mark.parametrize("stage", STAGES)
def test_command_reads_its_dependencies_and_writes_its_outputs(stage: str) -> None:
    row = STAGES[stage]
    words = row["cmd"].split()
    assert words[:3] == ["python", "-m", f"stages.{stage}"]
    named = {word for word in words if "/" in word}
    inputs = {p for p in paths(row["deps"]) if not p.startswith(("stages/", "tsn/"))}
    outputs = outputs_of(row)
    held = {path for name, path in HELD_ELSEWHERE if name == stage}
    # A folder may stand for the outputs in it.
    folders = {n for n in named if any(output.startswith(f"{n}/") for output in outputs)}
    # What the command names may lie in an input.
    within = {n for n in named if any(n.startswith(f"{p}/") for p in inputs)}
    assert named - held - folders - within <= inputs | outputs
    assert all(o in named or o.startswith(tuple(f"{f}/" for f in folders)) for o in outputs)
    # An input that the command does not name lies in or above a folder that it does name.
    below = {
        p
        for p in inputs - named
        if not any(p.startswith(f"{n}/") or n.startswith(f"{p}/") for n in named)
    }
    assert below == set()


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_depends_on_its_own_section(stage: str) -> None:
    source = (ROOT / f"stages/{stage}.py").read_text()
    for section in STAGES[stage]["params"]:
        literal = section.replace("${item.", "{args.")
        assert f'"{literal}"' in source


def test_outputs_have_one_stage_each() -> None:
    outputs = [path for row in STAGES.values() for path in sorted(outputs_of(row))]
    assert len(outputs) == len(set(outputs))


def run_python(code: str) -> str:
    process = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


def test_reading_and_splitting_videos_needs_neither_torch_nor_mlflow() -> None:
    code = f"import sys, {', '.join(f'stages.{name}' for name in LIGHT)}; print(*sys.modules)"
    loaded = {name.split(".")[0] for name in run_python(code).split()}
    assert {"stages", "tsn", "cv2"} <= loaded
    assert loaded & {"torch", "torchvision", "mlflow", "prefect", "dvc", "matplotlib"} == set()


HELP = """
import contextlib, io, json, runpy, sys
texts = {}
for name in NAMES:
    sys.argv = [name, "--help"]
    out = io.StringIO()
    try:
        with contextlib.redirect_stdout(out):
            runpy.run_module(f"stages.{name}", run_name="__main__")
    except SystemExit as end:
        texts[name] = [end.code, out.getvalue()]
print(json.dumps([texts, list(sys.modules)]))
"""


def test_help_of_every_program_comes_without_loading_a_server() -> None:
    names = [*STAGES, *PROGRAMS]
    texts, modules = json.loads(run_python(HELP.replace("NAMES", repr(names))))
    assert list(texts) == names
    for name, (code, text) in texts.items():
        assert code == 0
        assert text.startswith(f"usage: {name.removeprefix('operate.')} ")
        options = {w for w in STAGES.get(name, {"cmd": ""})["cmd"].split() if w.startswith("--")}
        assert all(option in text for option in options)
    assert "torch" in modules
    assert {"mlflow", "prefect", "dvc"}.isdisjoint(modules)

"""The layout: few rooms at every top, no long file, no long function but compiled kernels."""

import ast
from pathlib import Path

import pytest
from workspace import ROOT

CODE = sorted(path for top in ("tsn", "stages", "flows") for path in (ROOT / top).rglob("*.py"))
# Compiled as a whole: a call in the middle would cost what the kernel saves.
KERNELS = {("tsn/flow/tvl1_kernels.py", "iterate")}
FOLDERS = {"operate", "tracking", "reporting", "runtime"}


def rooms(folder: Path) -> set[str]:
    found = {path.stem for path in folder.iterdir() if path.is_dir() or path.suffix == ".py"}
    return found - {"__init__", "__pycache__"}


def test_tops_have_few_rooms() -> None:
    assert len(rooms(ROOT / "tsn")) <= 20
    assert {path.name for path in (ROOT / "stages").iterdir() if path.is_dir()} - {
        "__pycache__"
    } == FOLDERS
    assert len(rooms(ROOT / "flows")) <= 10


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_are_short(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 400
    long = {
        node.name: node.end_lineno - node.lineno + 1
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno + 1 > 50
        and (str(path.relative_to(ROOT)), node.name) not in KERNELS
    }
    assert long == {}

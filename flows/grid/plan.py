"""What is to do: the cells that are not up to date and all that depends on them.

DVC itself says which, by `dvc dag` and `dvc status`. Not `dvc repro --dry`: that one tells no
descendants of what it has not run.
"""

import difflib
import json
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from graphlib import TopologicalSorter
from pathlib import Path

from flows.grid.active import BUSY_SECONDS, BusyError
from flows.grid.lock_file import TRUNCATED, repair
from flows.processes.programs import ProgramError, dvc_output

# A reader can meet dvc.lock while it is rewritten, and find it empty or truncated.
ATTEMPTS = 5
RETRY_SECONDS = 0.4
TRANSIENT_ANSWER = re.compile(rf"{TRUNCATED}|exited with -\d+$")  # or dvc itself was killed

EDGE = re.compile(r'^"(?P<upstream>[^"]+)" -> "(?P<cell>[^"]+)";$')
NODE = re.compile(r'^"(?P<cell>[^"]+)";$')
VISITED = re.compile(r"^Running stage '(?P<cell>[^']+)':$", re.MULTILINE)
BUSY = re.compile(r"is busy.*?\(PID (?P<pid>\d+)\): ", re.DOTALL)

Graph = Mapping[str, tuple[str, ...]]


class UnknownTargetError(ProgramError):
    """A target that is no stage of dvc.yaml."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One stage to run, by its DVC name, and those of the plan that have to be done before."""

    name: str
    upstreams: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Cells to run, every one after its upstreams; `up_to_date` counts those that need not."""

    cells: tuple[Cell, ...]
    up_to_date: int


def make_plan(workspace: Path, targets: Sequence[str] = ()) -> Plan:
    """Return the plan for the targets and what they depend on; for everything without any.

    A target is a cell (`train@synthetic-1-rgb`), a stage (`train`: its cells) or a pattern
    (`train@*-rgb`). Raises BusyError while another run is active, UnknownTargetError, and
    ProgramError with DVC's words when it does not answer.
    """
    return plan_of(read_graph(workspace), changed_cells(workspace), targets)


def plan_of(graph: Graph, changed: Iterable[str], targets: Sequence[str] = ()) -> Plan:
    """Return the plan for a graph (cell -> its upstreams) and the cells of it that have changed."""
    wanted = with_ancestors(graph, select(graph, targets)) if targets else set(graph)
    order = [name for name in TopologicalSorter(graph).static_order() if name in wanted]
    todo = set(changed) & wanted
    for name in order:
        if todo.intersection(graph[name]):
            todo.add(name)
    cells = tuple(
        Cell(name=name, upstreams=tuple(u for u in graph[name] if u in todo))
        for name in order
        if name in todo
    )
    return Plan(cells=cells, up_to_date=len(order) - len(cells))


def select(graph: Graph, targets: Sequence[str]) -> list[str]:
    """Return the cells that the targets name. UnknownTargetError for one that names none."""
    found: list[str] = []
    for target in targets:
        cells = [n for n in graph if n == target or n.startswith(f"{target}@")] or [
            n for n in graph if fnmatchcase(n, target)
        ]
        if not cells:
            stages = sorted({name.partition("@")[0] for name in graph})
            near = difflib.get_close_matches(target, graph, n=3) or stages
            raise UnknownTargetError(
                f"{target}: no such stage or cell; there are {', '.join(near)}"
            )
        found += cells
    return found


def with_ancestors(graph: Graph, names: Iterable[str]) -> set[str]:
    """Return cells and all that they depend on."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += graph[name]
    return found


def read_graph(workspace: Path) -> dict[str, tuple[str, ...]]:
    """Return every cell of the workspace and what it depends on directly."""
    upstreams: dict[str, list[str]] = {}
    for line in _answer(["dag", "--dot"], workspace).splitlines():
        if found := EDGE.match(line.strip()):
            upstreams.setdefault(found["upstream"], [])
            upstreams.setdefault(found["cell"], []).append(found["upstream"])
        elif found := NODE.match(line.strip()):
            upstreams.setdefault(found["cell"], [])
    return {name: tuple(before) for name, before in upstreams.items()}


def changed_cells(workspace: Path) -> tuple[str, ...]:
    """Return the cells that `dvc status` does not find up to date."""
    return tuple(json.loads(_answer(["status", "--json"], workspace) or "{}"))


def repro_order(workspace: Path) -> list[str]:
    """Return every cell of the workspace in the order in which `dvc repro` runs them."""
    return VISITED.findall(_answer(["repro", "--dry", "--force"], workspace))


def _answer(arguments: Sequence[str], workspace: Path) -> str:
    """Return what dvc prints; ask again while dvc.lock is being written or another run ends."""
    busy_since = time.monotonic()
    attempt = 0
    while True:
        try:
            return dvc_output(arguments, workspace)
        except ProgramError as error:
            told = str(error)
        busy = BUSY.search(told)
        if busy and time.monotonic() - busy_since > BUSY_SECONDS:
            raise BusyError(workspace, int(busy["pid"]))
        attempt += not busy
        if attempt >= ATTEMPTS or not (busy or TRANSIENT_ANSWER.search(told)):
            raise ProgramError(told)
        if attempt > 1:
            repair(workspace)  # not met while it was written: a kill has truncated it
        time.sleep(RETRY_SECONDS)

"""dvc.lock in the order of a sequential `dvc repro`, whatever order the cells finished in.

DVC appends what is new. So what a grid adds would stand in the order it finished in: other bytes
for the same results, and a noisy diff. `keep_order` puts the added entries where `dvc repro` had
put them; what stood there before a grid began stays where it was.
"""

import json
import re
import threading
from collections.abc import Sequence
from pathlib import Path

from ruamel.yaml import YAML

from flows.grid.mend import COPY, ENTRY, LOCK_FILE, REPO_LOCK, dvc_lock, keep_copy
from flows.processes.programs import NEVER, ask_dvc
from tsn.files import atomic_path

# The entries before the grid that has not come to its end yet: it may have been killed and started
# again several times.
BEFORE = Path(".dvc/tmp/grid-order.json")

VISITED = re.compile(
    r"^(?:Running stage |Stage )?'(?P<cell>[^']+)'(?::$| didn't change)", re.MULTILINE
)


def remember_order(workspace: Path) -> bool:
    """Keeps which entries dvc.lock has; False if those before an unfinished grid are kept still."""
    keep_copy(workspace)
    path = workspace / BEFORE
    if path.is_file():
        return False
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(_entries(workspace / LOCK_FILE)))
    return True


def keep_order(
    workspace: Path, targets: Sequence[str] = (), *, stop: threading.Event = NEVER
) -> None:
    """Puts the entries that were added into the order in which `dvc repro` visits the stages.

    Under DVC's own lock, which it waits for (StoppedError once `stop` is set), atomically, and not
    one byte is changed when the order is right.
    """
    visited = VISITED.findall(ask_dvc(["repro", "--dry", *targets], workspace).stdout)
    path = workspace / LOCK_FILE
    with dvc_lock(workspace, REPO_LOCK, stop=stop):
        before = json.loads((workspace / BEFORE).read_text())
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            ordered = in_order(text, _entries(path), [*before, *visited])
            if ordered != text:
                with atomic_path(path) as temporary:
                    temporary.write_text(ordered, encoding="utf-8")


def forget_order(workspace: Path) -> None:
    """After a grid that came to its end: what is there now is what the next one starts from."""
    for path in (BEFORE, COPY):
        (workspace / path).unlink(missing_ok=True)


def in_order(text: str, names: Sequence[str], wanted: Sequence[str]) -> str:
    """A dvc.lock whose entries `names` come in the order of `wanted`; any others last, as they are.

    The text is cut and put together, not written anew, so its bytes stay DVC's.
    """
    head, *blocks = ENTRY.split(text)
    if len(blocks) != len(names):
        return text  # of another layout (datasets): rather in another order than harmed
    rank = {name: position for position, name in reversed(list(enumerate(wanted)))}
    order = sorted(range(len(names)), key=lambda i: rank.get(names[i], len(wanted)))
    return head + "".join(f"  {blocks[i]}" for i in order)


def _entries(path: Path) -> list[str]:
    if not path.is_file():
        return []
    content = YAML(typ="safe", pure=True).load(path) or {}
    return list(content.get("stages", {}))

"""What a person may compare by name: what is checked out, a commit, an experiment, a version."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from stages.operate import revisions
from stages.operate.side_results import read_commit, read_folder, read_version
from stages.reporting.two_sides import Side
from stages.tracking import registry, versions
from stages.tracking.registry import CHALLENGER, CHAMPION, PREVIOUS
from tsn.names import first_few

WORKSPACE = "workspace"  # DVC's word for what is checked out
CHECKED_OUT = "what is checked out"
ALIASES = (CHAMPION, CHALLENGER, PREVIOUS)
SHOWN = 12  # of the names that an unknown one might have been


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a name may mean: `kind:name`, in words, and how to read it. `key` tells two apart."""

    kind: str
    key: str
    what: str
    read: Callable[[], Side] = field(repr=False, compare=False)


def find(name: str, dataset: str, root: Path) -> Found:
    """Return what a name means: that of a kind, as `git:main`, or the only one of any kind.

    Raises ValueError where there is none, or several; then it says which.
    """
    if name == WORKSPACE:
        read = partial(read_folder, name, CHECKED_OUT, root, dataset)
        return Found(kind=WORKSPACE, key=WORKSPACE, what=CHECKED_OUT, read=read)
    finders = {"git": _commits, "exp": _experiments, "version": _versions}
    kind, _, rest = name.partition(":")
    chosen, bare = ([kind], rest) if rest and kind in finders else ([*finders], name)
    if len(chosen) > 1 and not _may_be_version(name):
        chosen.remove("version")  # MLflow takes seconds to load
    found = {
        hit.key: hit for one in chosen for hit in finders[one](bare, dataset, root)
    }  # the first of equal ones: a branch may be where an experiment is
    if not found:
        raise ValueError(f"{name}: {_unknown(dataset, root)}")
    if len(found) > 1:
        raise ValueError(_ambiguous(name, bare, list(found.values())))
    return next(iter(found.values()))


def _may_be_version(name: str) -> bool:
    return name in ALIASES or name.removeprefix("v").isdecimal()


def _commits(name: str, dataset: str, root: Path) -> Iterator[Found]:
    if found := revisions.find_commit(name, root):
        yield _of_commit("git", name, found, f"git revision {found}", dataset, root)


def _experiments(name: str, dataset: str, root: Path) -> Iterator[Found]:
    for found in revisions.find_experiments(name, root):
        yield _of_commit(
            "exp", name, found, f"DVC experiment {found.commit[:7]}, {found.day}", dataset, root
        )


def _of_commit(
    kind: str, name: str, found: revisions.Revision, what: str, dataset: str, root: Path
) -> Found:
    read = partial(read_commit, name, what, found.commit, dataset, root)
    return Found(kind=kind, key=found.commit, what=what, read=read)


def _versions(name: str, dataset: str, root: Path) -> Iterator[Found]:  # noqa: ARG001
    number = name.removeprefix("v")
    try:
        version = (
            registry.find_number(dataset, number)
            if number.isdecimal()
            else registry.find(dataset, name)
        )
    except registry.NotRegisteredError:
        return
    if version is not None:
        called = f"version {number}" if number.isdecimal() else f"the {name}"
        what = f"registered version {version.number}"
        read = partial(read_version, called, what, version)
        yield Found(kind="version", key=str(version), what=what, read=read)


def _unknown(dataset: str, root: Path) -> str:
    branches, experiments = revisions.list_names(root)
    known = [
        f"{number} ({', '.join(aliases)})" if aliases else number
        for number, aliases in versions.list_versions(dataset).items()
    ]
    return (
        f"no git revision, DVC experiment or registered version of {dataset} has this name; there "
        f"are the branches {_list(branches)}, the experiments {_list(experiments)}, the versions "
        f"{_list(known)}, and {WORKSPACE} for what is checked out"
    )


def _list(names: list[str]) -> str:
    return first_few(names, SHOWN) or "(none)"


def _ambiguous(name: str, bare: str, found: list[Found]) -> str:
    kinds = {hit.kind for hit in found}
    meanings = " or ".join(hit.what for hit in found)
    if len(kinds) < len(found):  # experiments of one name, on different commits
        return f"{name} is ambiguous: {meanings}; write the hash"
    which = " or ".join(f"{hit.kind}:{bare}" for hit in found)
    return f"{name} is ambiguous: {meanings}; write {which}"

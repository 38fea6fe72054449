"""Commits, branches, tags and DVC experiments, read without touching what is checked out.

DVC itself reads: from git, its cache, or its remote.
"""

import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stages.runtime.places import dvc_site

# Where DVC keeps an experiment: below the commit that it began from, by its name.
EXPERIMENT = re.compile(r"refs/exps/[0-9a-f]{2}/[0-9a-f]{38}/(?P<name>.+)")
HEADS = "refs/heads/"
Copy = Callable[[Iterable[str]], dict[str, str]]


@dataclass(frozen=True, kw_only=True)
class Revision:
    """A commit, when it was made (UTC), and the first line of its message."""

    commit: str
    day: str
    subject: str

    def __str__(self) -> str:
        return f"{self.commit[:7]}, {self.day}: {self.subject}"


def find_commit(name: str, root: Path) -> Revision | None:
    """Return what git means by a name: a branch, a tag, a hash or its beginning, `HEAD~1`.

    None for what is no commit: a name that git does not know, or a file's or folder's in one.
    """
    from dvc.scm import SCMError, map_scm_exception

    with _git(root) as git:
        if git is None or not name:  # git takes no name for HEAD
            return None
        try:
            with map_scm_exception():
                return _revision(git, git.resolve_rev(f"{git.resolve_rev(name)}^{{commit}}"))
        except SCMError:
            return None


def find_experiments(name: str, root: Path) -> list[Revision]:
    """Return the DVC experiments of that name: one, or one for each commit they began from."""
    with _git(root) as git:
        return [_revision(git, sha) for known, sha in _experiments(git) if known == name]


def list_names(root: Path) -> tuple[list[str], list[str]]:
    """Return the names of the branches and of the experiments, sorted."""
    with _git(root) as git:
        branches = [ref.removeprefix(HEADS) for ref in git.iter_refs(HEADS)] if git else []
        return sorted(branches), sorted({name for name, _ in _experiments(git)})


@contextmanager
def copying(commit: str, root: Path, folder: Path) -> Iterator[Copy]:
    """Give what copies files of a commit below a folder, and returns why others could not be had.

    A file that the commit does not know is no error, and not copied.
    """
    from dvc.exceptions import DvcException

    with _repository(root) as repository, repository.switch(commit):
        files = repository.dvcfs

        def copy(paths: Iterable[str]) -> dict[str, str]:
            missing: dict[str, str] = {}
            for path in paths:
                target = folder / path
                target.parent.mkdir(parents=True, exist_ok=True)
                try:
                    if files.exists(f"/{path}"):
                        files.get_file(f"/{path}", str(target))
                except (OSError, DvcException) as error:
                    target.unlink(missing_ok=True)
                    is_gone = isinstance(error, FileNotFoundError)
                    missing[path] = (
                        "neither in DVC's cache nor in a remote" if is_gone else f"{error}"
                    )
            return missing

        yield copy


@contextmanager
def _repository(root: Path) -> Iterator[Any]:
    """Give DVC's repository of a project. What DVC cannot do is a ValueError in its words."""
    os.environ["DVC_SITE_CACHE_DIR"] = dvc_site(root)
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo(str(root)) as repository:
            yield repository
    except DvcException as error:
        raise ValueError(f"DVC: {error}") from error


@contextmanager
def _git(root: Path) -> Iterator[Any]:
    """Give the repository's git; None for a project without."""
    from dvc.scm import NoSCM

    with _repository(root) as repository:
        yield None if isinstance(repository.scm, NoSCM) else repository.scm


def _experiments(git: Any) -> Iterator[tuple[str, str]]:
    for ref in git.iter_refs("refs/exps/") if git else ():
        if found := EXPERIMENT.fullmatch(ref):
            yield found["name"], git.get_ref(ref)


def _revision(git: Any, sha: str) -> Revision:
    commit = git.resolve_commit(sha)
    day = datetime.fromtimestamp(commit.commit_time, UTC).strftime("%Y-%m-%d %H:%M")
    subject = (commit.message.strip().splitlines() or [""])[0]
    return Revision(commit=commit.hexsha, day=day, subject=subject)

"""The data of a dataset as commits: what was taken in is one, and what others took in comes as one.

`additions/<dataset>.dvc` says which clips there are; the clips are in DVC's cache, and go to other
machines through its remote. Nothing else is committed, and nothing that is staged is touched.
"""

from pathlib import Path

from flows.programs import ProgramError, run_dvc
from flows.worktree import git

ADDITIONS = Path("additions")
AUTHOR = ("-c", "user.name=tsn retraining", "-c", "user.email=retraining@localhost")


def pull(root: Path, dataset: str) -> None:
    """Fetches the commits of the upstream branch, and the clips that they brought."""
    git(root, "pull", "--quiet", "--ff-only")
    if (root / pointer(dataset)).is_file():
        run_dvc(["pull", "--quiet", str(pointer(dataset))], root)


def commit_additions(root: Path, dataset: str) -> bool:
    """Makes what was taken in part of the checked-out branch; False when it is already.

    Whatever a kill left half done is done by the next call.
    """
    if not (root / ADDITIONS / dataset).is_dir():
        return False
    run_dvc(["add", "--quiet", str(ADDITIONS / dataset)], root)
    files = [str(pointer(dataset)), str(ADDITIONS / ".gitignore")]
    if not git(root, "status", "--porcelain", "--", *files):
        return False
    git(root, "add", "--", *files)
    author = () if _has_identity(root) else AUTHOR
    git(root, *author, "commit", "--quiet", "-m", f"Data: new clips of {dataset}", "--", *files)
    return True


def publish(root: Path) -> None:
    """Pushes the checked-out branch, if it has an upstream: other machines fetch it from there."""
    try:
        git(root, "rev-parse", "--abbrev-ref", "@{upstream}")
    except ProgramError:
        return
    git(root, "push", "--quiet")


def data_state(root: Path, dataset: str, commit: str) -> str:
    """What stands for the clips that a commit's dataset has taken in: equal for the same clips."""
    try:
        return git(root, "rev-parse", "--verify", "--quiet", f"{commit}:{pointer(dataset)}")
    except ProgramError:
        return "none"


def pointer(dataset: str) -> Path:
    """The file by which git knows a dataset's additions."""
    return ADDITIONS / f"{dataset}.dvc"


def _has_identity(root: Path) -> bool:
    try:
        return bool(git(root, "config", "user.email"))
    except ProgramError:
        return False

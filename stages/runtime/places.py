"""Where things lie in a workspace, for those whom dvc.yaml does not tell; who may look there.

What is below `.tsn/` neither git nor DVC looks into.
"""

import os
import stat
from contextlib import suppress
from pathlib import Path

PROJECT_ROOT = Path(__file__).resolve().parents[2]  # of the code that runs

DVC_LOCK = Path("dvc.lock")
DVC_LOCAL = Path(".dvc/config.local")  # what DVC is told on this machine alone
DVC_TMP = Path(".dvc/tmp")
DVC_EXPERIMENTS = DVC_TMP / "exps"  # where DVC has copies of the project
DATA = Path("data")  # videos, streams and lists: a folder for each dataset
RECOGNISERS = Path("recognisers")  # a folder for each dataset
ADDITIONS = Path("additions")  # the clips that each dataset ingested; git knows them by a pointer
INBOX = Path("inbox")  # what a person puts there to be taken in, the same for all worktrees
NEW_CLIPS = INBOX / "new"  # a folder for each dataset
CHECKSUMS = "videos.csv"  # of a dataset's videos, above the folder of its lists

DATABASE, ARTIFACTS = Path("mlflow.db"), Path("mlartifacts")
WORKSPACE_VARIABLE = "TSN_WORKSPACE"  # says to a worker in which checkout it runs cells

TSN = Path(".tsn")
STORE = TSN / "store"  # a video's stream, computed once, whatever DVC deletes
SOURCES_READ = TSN / "sources"  # digests of sources' files that were read to find changes
SURVEY_CACHE = TSN / "survey"  # what a video looks like, read once
PROGRESS = TSN / "progress"  # of training runs that have not come to their end
MADE = TSN / "made"  # how each result was made, for its MLflow run
LOGGED = TSN / "logged.json"  # which results were logged to MLflow
STATUS = TSN / "status"  # how far each running cell is
HOME = TSN / "home"  # what libraries keep, where the user's home cannot be written to
LOGS = TSN / "logs"  # what cells, programs and servers print
PREFECT = TSN / "prefect"  # the secret of the server on each port
TREES = TSN / "trees"  # worktrees that are pinned to a commit
STUDY_TREE = "study-"  # how the name of a study's begins
LOCKS = TSN / "locks"  # one for each worktree of a cell
COMPARE = TSN / "compare"  # the last look at each challenger
PROFILE = TSN / "profile"  # where the time of a training goes, as it was last measured
SPEED = TSN / "speed"  # frames/s of the rows of studies, as they were last measured
VISUALISE = TSN / "visualise"  # what networks look for, as it was last drawn
DVC_SITE = TSN / "dvc"  # what DVC keeps as pickles: whoever may write there runs code as this user
RETRAIN = TSN / "retrain"  # what the last retraining of each dataset took in and found
RETRAIN_LOCK = RETRAIN / "lock"  # held by a retraining
COMPARISON_REPORTS = Path("reports/compare")  # pages of two results, by dataset
STUDY_REPORTS = Path("reports/studies")  # tables and pages of studies, by name


class DatasetPaths:
    """Where dvc.yaml has what is made of a dataset, for programs that are no stage.

    root: the project. `tests/test_pipeline.py` holds the paths to dvc.yaml.
    """

    def __init__(self, dataset: str, root: Path = Path()) -> None:
        self.data = root / DATA / dataset  # a folder for each modality
        self.videos = self.data / "videos"
        self.checksums = self.data / CHECKSUMS
        self.source_lists = self.data / "lists"
        self.splits = self.data / "splits"  # the lists that are used
        self.models = root / "models" / dataset  # by split and modality
        self.init = self.models / "init"
        self.scores = root / "scores" / dataset  # by split and modality
        self.metrics = root / "metrics" / dataset
        self.mean = self.metrics / "mean.json"
        self.plots = root / "plots" / dataset  # by split
        self.report = root / "reports" / dataset

    def split_metrics(self, split: int) -> Path:
        """Return where the accuracies of a split are."""
        return self.metrics / f"split{split}.json"


def mlflow_database(root: Path) -> str:
    """Return the address of a checkout's own MLflow store."""
    return f"sqlite:///{root.resolve() / DATABASE}"


def dvc_site(workspace: Path) -> str:
    """Return where DVC is to keep a workspace's pickles: DVC_SITE_CACHE_DIR, or below `.tsn/`.

    DVC's own choice is a folder that all users of the machine may write to.
    """
    chosen = os.environ.get("DVC_SITE_CACHE_DIR")
    if chosen is None or Path(chosen).parts[-2:] == DVC_SITE.parts:  # that of another workspace
        return str(workspace.resolve() / DVC_SITE)
    return chosen


def make_private(workspace: Path) -> int:
    """Make `.tsn/` for its owner's eyes only; return the umask for what is as private.

    Where it has the set-group-ID bit, the group shares the checkout and is let in, too. In a folder
    that is no project, nothing is made.
    """
    folder = workspace / TSN
    with suppress(OSError):  # a checkout that is only read needs none
        if (workspace / "dvc.yaml").is_file():
            folder.mkdir(exist_ok=True)
        found = folder.stat()
        umask = 0o007 if found.st_mode & stat.S_ISGID else 0o077
        if found.st_mode & umask and found.st_uid == os.getuid():
            folder.chmod(stat.S_IMODE(found.st_mode) & ~umask)
        return umask
    return 0o077


def make_private_file(path: Path, umask: int = 0o077) -> None:
    """Make a file, if there is none, that others than its owner (or group) may not open."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL, 0o666 & ~umask))
    found = path.stat()
    if found.st_mode & umask and found.st_uid == os.getuid():
        path.chmod(stat.S_IMODE(found.st_mode) & ~umask)

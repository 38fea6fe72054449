"""Where things lie in a workspace that no stage is told by dvc.yaml.

What is below `.tsn/` neither git nor DVC looks into.
"""

from pathlib import Path

DVC_LOCK = Path("dvc.lock")
RECOGNISERS = Path("recognisers")  # a folder for each dataset
ADDITIONS = Path("additions")  # the clips that each dataset ingested; git knows them by a pointer

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
TREES = TSN / "trees"  # worktrees that are pinned to a commit
LOCKS = TSN / "locks"  # one for each worktree of a cell
COMPARE = TSN / "compare"  # the last look at each challenger
RETRAIN = TSN / "retrain"  # what the last retraining of each dataset took in and found


def mlflow_database(root: Path) -> str:
    """Return the address of a checkout's own MLflow store."""
    return f"sqlite:///{root.resolve() / 'mlflow.db'}"

"""What was deleted in MLflow's UI: there it can be restored, and takes room, until `mlflow gc`."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from urllib.request import url2pathname

from stages.tracking import store


@dataclass(frozen=True, kw_only=True)
class Deleted:
    """How many runs and experiments, where the runs' artifacts are on this machine, whether others
    are a server's, and which of the runs a registered version comes from."""

    runs: int = 0
    experiments: int = 0
    artifacts: tuple[Path, ...] = ()
    elsewhere: bool = False
    registered: tuple[str, ...] = ()


def find_deleted() -> Deleted:
    """Return what was deleted in the store; nothing where there is no store yet."""
    client = store.connect_existing()
    if client is None:
        return Deleted()
    from mlflow.entities import ViewType

    experiments = list(_pages(client.search_experiments, view_type=ViewType.ALL))
    ids = [row.experiment_id for row in experiments]
    runs = list(_pages(client.search_runs, experiment_ids=ids, run_view_type=ViewType.DELETED_ONLY))
    sources = {version.run_id for version in _pages(client.search_model_versions)}
    addresses = [urlparse(run.info.artifact_uri) for run in runs]
    places = [url2pathname(address.path) for address in addresses]
    return Deleted(
        runs=len(runs),
        experiments=sum(row.lifecycle_stage == "deleted" for row in experiments),
        artifacts=tuple(Path(place) for place in places if Path(place).is_dir()),
        elsewhere=any(address.scheme not in ("", "file") for address in addresses),
        registered=tuple(run.info.run_name for run in runs if run.info.run_id in sources),
    )


def _pages(search: Any, **arguments: Any) -> Iterator[Any]:
    """Yield the results of all pages of one of the client's searches."""
    token = None
    while True:
        page = search(**arguments, page_token=token)
        yield from page
        token = page.token
        if not token:
            return

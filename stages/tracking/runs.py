"""MLflow's runs: an experiment per dataset, a run per cell, per fusion and per pipeline.

Tracking never decides whether a stage succeeds. Whatever MLflow raises is logged once as a warning,
the rest of that run's logging is skipped, and the stage's own files stay the record.

`stages/tracking/store.py` knows where the store is, `pipeline_runs.py` what belongs together.
"""

import contextlib
import getpass
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from stages.tracking import pipeline_runs, store
from stages.tracking.entries import log_tags
from stages.tracking.made import Made, made_now
from stages.tracking.open_run import Run, warn

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run as StoredRun

# A tag of a split's fusion: the digest of its metrics, by which the mean finds its splits.
METRICS_TAG = "metrics"


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """What the store holds about one run; `metrics` are the latest values."""

    run_id: str
    name: str
    status: str
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]


@contextlib.contextmanager
def live_run(
    *,
    dataset: str,
    name: str,
    key: Mapping[str, str],
    params: Mapping[str, object],
    tags: Mapping[str, str],
    results: str = "the files this stage writes",
    made: Made | None = None,
    watched: bool = True,
) -> Iterator[Run]:
    """Yield the run of experiment `dataset` whose tags equal `key`: the newest such, or a new one.

    It is opened when its first values are due, by `flush` or after a few seconds, so that what is
    done sooner never imports MLflow. So a resumed training, and the scoring of the model it made,
    continue its run. `results` names the file to look at when MLflow is not reachable; `made` says
    how the result came to be, if not by this process; `watched`, that what the machine does while
    it is open is logged, too. The run ends as FINISHED, as KILLED when the
    process was asked to stop, and as FAILED on any other exception, which propagates.
    """
    opened = Run(made=made or made_now(), results=results)
    if store.tracking_is_on():
        opened.opening = partial(_open, opened, dataset, name, key, tags)
    opened.log_params(params)
    if watched:
        opened.watch_machine()
    try:
        yield opened
    except (KeyboardInterrupt, SystemExit):
        opened.finish("KILLED")
        raise
    except BaseException:
        opened.finish("FAILED")
        raise
    opened.finish("FINISHED")


@contextlib.contextmanager
def run(
    *,
    part: str,
    dataset: str,
    name: str,
    key: Mapping[str, str],
    params: Mapping[str, object],
    tags: Mapping[str, str],
    results: str = "the files of this stage",
    made: Made | None = None,
) -> Iterator[Run]:
    """Yield an open run, as `live_run` finds it.

    When all of `part` is in the store, `is_logged` says so.
    """
    with live_run(
        dataset=dataset,
        name=name,
        key=key,
        params=params,
        tags=tags,
        results=results,
        made=made,
        watched=False,
    ) as opened:
        opened.flush()
        yield opened
        opened.flush()
        opened.set_tags({_logged(part): "true"})


def find_runs(dataset: str, key: Mapping[str, str]) -> list[RunRecord]:
    """Return the runs of experiment `dataset` whose tags equal `key`, newest first.

    Empty when nothing was tracked yet, tracking is off or the store cannot be reached.
    """
    try:
        client = store.connect_existing() if store.tracking_is_on() else None
        experiment = client and client.get_experiment_by_name(dataset)
        if client is None or experiment is None:
            return []
        return [_to_record(stored) for stored in _search(client, experiment.experiment_id, key)]
    except Exception as error:  # whatever it is, the stage goes on
        warn(error, "the files this stage writes")
        return []


def is_logged(dataset: str, key: Mapping[str, str], part: str) -> bool:
    """Return whether the newest run with that key holds all of `part`."""
    return _find_logged(dataset, key, part) is not None


def require_logged(dataset: str, key: Mapping[str, str], part: str) -> RunRecord:
    """Return the newest run with that key; raise OSError unless it holds all of `part`."""
    if (found := _find_logged(dataset, key, part)) is None:
        raise OSError(f"{store.shown_uri()} did not take it")
    return found


def _find_logged(dataset: str, key: Mapping[str, str], part: str) -> RunRecord | None:
    newest = next(iter(find_runs(dataset, key)), None)
    return newest if newest and newest.tags.get(_logged(part)) == "true" else None


def backfill(dataset: str, key: Mapping[str, str], part: str, log: Callable[[], None]) -> bool:
    """Log a part from its files, unless its run has it: then return False.

    Raises OSError when MLflow did not take it.
    """
    if is_logged(dataset, key, part):
        return False
    log()
    require_logged(dataset, key, part)
    return True


def source_tags(dataset: str, cells: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Return tags that lead to the runs of cells: `source.<name>` is a run's id, if there is one.

    A cell comes with its fingerprints, the first that a run has counts: that of this scoring, then
    that of the training.
    """
    tags = {}
    for name, fingerprints in cells.items():
        keys = ({"fingerprint": fingerprint} for fingerprint in fingerprints)
        found = (record for key in keys for record in find_runs(dataset, key))
        if (record := next(found, None)) is not None:
            tags[f"{pipeline_runs.SOURCE}{name}"] = record.run_id
    return tags


def _logged(part: str) -> str:
    return f"logged.{part}"


def is_reachable() -> bool:
    """Return whether tracking is on and the store answers; a local file always does."""
    try:
        if not store.tracking_is_on():
            return False
        if store.sqlite_file(store.tracking_uri()) is None:
            store.connect().search_experiments(max_results=1)
    except Exception as error:  # whatever it is, the caller goes on
        warn(error, "the files of the stages")
        return False
    return True


def _open(
    opened: Run, dataset: str, name: str, key: Mapping[str, str], tags: Mapping[str, str]
) -> None:
    """Connect `opened` with the newest run of that key, or a new one."""
    made = opened.made
    try:
        with store.hold_database_lock():
            client = store.connect()
            opened.experiment_id = store.ensure_experiment(client, dataset)
        for stored in _search(client, opened.experiment_id, key)[:1]:
            restored = {k: v for k, v in made.tags.items() if k == "restored"}
            opened.run_id = _reopen(client, stored, {**tags, **restored, **key})
            opened.existed, opened.ended_at = True, _first_end(stored) or made.ended
        if not opened.existed:
            _create(client, opened, dataset, name, {**tags, **key})
        opened.client = client
    except Exception as error:  # whatever it is, the stage goes on
        warn(error, opened.results)


def _create(
    client: "MlflowClient", opened: Run, dataset: str, name: str, tags: Mapping[str, str]
) -> None:
    """Create the run, named by what its recipe changes and tied to its pipeline."""
    made, experiment = opened.made, opened.experiment_id
    own = {**_user_tag(), **made.tags, **_stage_tag(()), **tags}
    new = pipeline_runs.introduce(client, experiment, dataset, name, tags)
    created = client.create_run(experiment, run_name=new.name, start_time=made.began)
    opened.run_id, opened.ended_at = created.info.run_id, made.ended
    log_tags(client, opened.run_id, {**own, **new.tags})


def _user_tag() -> dict[str, str]:
    """Return who runs this program, if the system knows a name."""
    try:
        return {"mlflow.user": getpass.getuser()}
    except (ImportError, KeyError, OSError):
        return {}


def _first_end(stored: "StoredRun") -> int | None:
    """Return when the run's first part ended: the UI's duration stays that of the training."""
    complete = any(tag.startswith(_logged("")) for tag in stored.data.tags)
    return stored.info.end_time if complete else None


def _reopen(client: "MlflowClient", stored: "StoredRun", tags: Mapping[str, str]) -> str:
    """Continue a run: its commit stays that of its first stage, its list of stages grows."""
    stages = [s for s in stored.data.tags.get("dvc.stage", "").split(", ") if s]
    log_tags(client, stored.info.run_id, {**_stage_tag(stages), **tags})
    client.update_run(stored.info.run_id, status="RUNNING")
    return str(stored.info.run_id)


def _stage_tag(before: Sequence[str]) -> dict[str, str]:
    """Return the tag of a run's DVC stages, with the one whose result is logged now."""
    stages = list(dict.fromkeys((*before, os.environ.get("DVC_STAGE", ""))))
    named = [stage for stage in stages if stage]
    return {"dvc.stage": ", ".join(named)} if named else {}


def _search(
    client: "MlflowClient", experiment_id: str, key: Mapping[str, str]
) -> "list[StoredRun]":
    if not key:
        raise ValueError("a run is found by its key: at least one tag is needed, none came")
    equal = " and ".join(f"tags.`{tag}` = '{value}'" for tag, value in key.items())
    return list(client.search_runs([experiment_id], equal, order_by=["attributes.start_time DESC"]))


def _to_record(stored: "StoredRun") -> RunRecord:
    return RunRecord(
        run_id=stored.info.run_id,
        name=stored.info.run_name,
        status=stored.info.status,
        params=dict(stored.data.params),
        metrics=dict(stored.data.metrics),
        tags=dict(stored.data.tags),
    )

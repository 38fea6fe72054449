"""MLflow's runs: one flat run per cell, an experiment per dataset.

Tracking never decides whether a stage succeeds. Whatever MLflow raises is logged once as a warning,
the rest of that run's logging is skipped, and the stage's own files stay the record.

`stages/tracking/store.py` knows where the store is.
"""

import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from stages.tracking import status, store
from stages.tracking.entries import (
    batches,
    log_dataset,
    log_missing_params,
    log_tags,
    valid_name,
)
from stages.tracking.made import Made, made_now

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric
    from mlflow.entities import Run as StoredRun

logger = logging.getLogger(__name__)

FLUSH_POINTS = 200
METRICS_PER_BATCH = 1000  # as an MLflow server accepts
FLUSH_SECONDS = 5.0

LINK_QUERY = "workflowType=machine_learning"

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


@dataclass(kw_only=True)
class Run:
    """A run that is opened by the first values that are due. Every method returns at once and does
    nothing once the store has failed.

    `client` is None until it is open, and from a failure on. `existed` says that the run was there
    before, and `ended_at` when its first part was complete, in milliseconds. `made` says how its
    result came to be, and `results` are those of `run`.
    """

    made: Made
    results: str
    client: "MlflowClient | None" = None
    run_id: str = ""
    experiment_id: str = ""
    existed: bool = False
    ended_at: int | None = None
    opening: Callable[[], None] | None = None
    _waiting: "list[Callable[[MlflowClient], None]]" = field(default_factory=list)
    _buffer: list[tuple[str, int, float]] = field(default_factory=list)
    _flushed_at: float = field(default_factory=time.monotonic)
    _last_values: dict[str, dict[int, str]] = field(default_factory=dict)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log values at `step`; without one they are the run's result. Written in batches."""
        self._buffer += [(valid_name(name), step or 0, float(v)) for name, v in metrics.items()]
        late = time.monotonic() - self._flushed_at > FLUSH_SECONDS
        if late or len(self._buffer) >= FLUSH_POINTS:
            self.flush()

    def log_series(self, series: Mapping[str, Sequence[tuple[int, float]]]) -> None:
        """Log whole curves, metric name -> (step, value) points, with what is due next."""
        for name, points in series.items():
            self._buffer += [(valid_name(name), step, float(value)) for step, value in points]

    def log_artifact(self, path: Path, folder: str = "") -> None:
        """Copy a file, or what a directory holds, into the run's artifact `folder`."""

        def log(client: "MlflowClient") -> None:
            upload = client.log_artifacts if path.is_dir() else client.log_artifact
            upload(self.run_id, str(path), folder or None)

        self._attempt(log)

    def log_params(self, params: Mapping[str, object]) -> None:
        """Log a nested mapping as flat dotted keys. A parameter never changes: only new ones go."""
        self._attempt(lambda client: log_missing_params(client, self.run_id, params))

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set tags, over older values."""
        self._attempt(lambda client: log_tags(client, self.run_id, tags))

    def log_dataset(self, name: str, digest: str, context: str) -> None:
        """Say what the run read: fills the UI's Dataset column without reading any data."""
        tags = self.made.tags
        self._attempt(lambda client: log_dataset(client, self.run_id, name, digest, context, tags))

    def link(self) -> str | None:
        """Return the run's page on the tracking server; None for a store that is a local file."""
        if self.client is None or not self.client.tracking_uri.startswith("http"):
            return None
        server = store.without_credentials(self.client.tracking_uri).rstrip("/")
        page = f"{server}/#/experiments/{self.experiment_id}/runs/{self.run_id}"
        return f"{page}?{LINK_QUERY}"

    def flush(self) -> None:
        """Open the run if it is not, and write the buffered metrics now."""
        if self.opening is not None:
            opening, self.opening = self.opening, None
            opening()
            for action in self._waiting:
                self._attempt(action)
            if link := self.link():
                status.report(link=link)
        points, self._buffer = self._buffer, []
        self._attempt(lambda client: self._log_points(client, points))
        self._flushed_at = time.monotonic()

    def finish(self, end: str) -> None:
        """Write what is buffered and end the run as FINISHED, FAILED or KILLED, if it is open."""
        if self.opening is not None:
            return
        self.flush()
        self._attempt(
            lambda client: client.set_terminated(self.run_id, end, end_time=self.ended_at)
        )

    def _log_points(self, client: "MlflowClient", points: Sequence[tuple[str, int, float]]) -> None:
        from mlflow.entities import Metric

        now = time.time_ns() // 1_000_000
        metrics = [
            Metric(name, value, now, step)
            for name, step, value in points
            if self._is_new(client, name, step, value)
        ]
        for batch in batches(metrics, METRICS_PER_BATCH):
            client.log_batch(self.run_id, metrics=batch, synchronous=True)

    def _is_new(self, client: "MlflowClient", name: str, step: int, value: float) -> bool:
        """False for a point that a resumed training repeats; a corrected value is new."""
        if name not in self._last_values:
            history: Sequence[Metric] = (
                client.get_metric_history(self.run_id, name) if self.existed else ()
            )
            in_order = sorted(history, key=lambda metric: metric.timestamp)
            self._last_values[name] = {metric.step: repr(metric.value) for metric in in_order}
        known = self._last_values[name].get(step)
        self._last_values[name][step] = repr(value)
        return known != repr(value)

    def _attempt(self, action: "Callable[[MlflowClient], None]") -> None:
        if self.opening is not None:
            self._waiting.append(action)
            return
        if self.client is None:
            return
        try:
            action(self.client)
        except Exception as error:  # whatever it is, the stage goes on
            _warn(error, self.results)
            self.client = None


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
) -> Iterator[Run]:
    """Yield the run of experiment `dataset` whose tags equal `key`: the newest such, or a new one.

    It is opened when its first values are due, by `flush` or after a few seconds, so that what is
    done sooner never imports MLflow. So a resumed training, and the scoring of the model it made,
    continue its run. `results` names the file to look at when MLflow is not reachable; `made` says
    how the result came to be, if not by this process. The run ends as FINISHED, as KILLED when the
    process was asked to stop, and as FAILED on any other exception, which propagates.
    """
    opened = Run(made=made or made_now(), results=results)
    if store.tracking_is_on():
        opened.opening = partial(_open, opened, dataset, name, key, tags)
    opened.log_params(params)
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
        dataset=dataset, name=name, key=key, params=params, tags=tags, results=results, made=made
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
        _warn(error, "the files this stage writes")
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
            tags[f"source.{name}"] = record.run_id
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
        _warn(error, "the files of the stages")
        return False
    return True


def _warn(error: Exception, results: str) -> None:
    lines = store.without_credentials(error).strip().splitlines() or [type(error).__name__]
    logger.warning(
        "MLflow is not reachable (%s: %s): the stage goes on without it; the results are in %s",
        store.shown_uri(),
        lines[0][:200],
        results,
    )


def _open(
    opened: Run, dataset: str, name: str, key: Mapping[str, str], tags: Mapping[str, str]
) -> None:
    """Connect `opened` with the newest run of that key, or a new one."""
    made = opened.made
    try:
        with store.hold_lock():
            client = store.connect()
            opened.experiment_id = store.ensure_experiment(client, dataset)
        for stored in _search(client, opened.experiment_id, key)[:1]:
            restored = {k: v for k, v in made.tags.items() if k == "restored"}
            opened.run_id = _reopen(client, stored, {**tags, **restored, **key})
            opened.existed, opened.ended_at = True, _first_end(stored) or made.ended
        if not opened.existed:
            created = client.create_run(opened.experiment_id, run_name=name, start_time=made.began)
            opened.run_id, opened.ended_at = created.info.run_id, made.ended
            own = {**made.tags, **_stage_tag(()), **tags, **key}
            log_tags(client, opened.run_id, own)
        opened.client = client
    except Exception as error:  # whatever it is, the stage goes on
        _warn(error, opened.results)


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

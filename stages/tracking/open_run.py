"""A run of MLflow that is written to: its metrics in batches, its files, parameters and tags.

Whatever MLflow raises is logged once as a warning, and the rest of that run's logging is skipped.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from stages.tracking import pipeline_runs, status, store
from stages.tracking.entries import (
    DataSet,
    batches,
    log_dataset,
    log_missing_params,
    log_tags,
    valid_name,
)
from stages.tracking.made import Made

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

logger = logging.getLogger(__name__)

FLUSH_POINTS = 200
METRICS_PER_BATCH = 1000  # as an MLflow server accepts
FLUSH_SECONDS = 5.0

LINK_QUERY = "workflowType=machine_learning"


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
    monitor: "SystemMetricsMonitor | None" = None
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

    def log_dataset(self, data: DataSet) -> None:
        """Say what the run read: fills the UI's Dataset column, and later its filter."""
        tags = self.made.tags
        self._attempt(lambda client: log_dataset(client, self.run_id, data, tags))

    def adopt(self) -> None:
        """Make this pipeline run the parent of the runs that went into it."""

        def log(client: "MlflowClient") -> None:
            pipeline_runs.adopt(client, self.experiment_id, self.run_id)

        self._attempt(log)

    def watch_machine(self) -> None:
        """Log what the machine does, every 10 s until the run's end: CPU, memory, disk, network.

        And GPUs, where the package nvidia-ml-py is installed.
        """

        def start(client: "MlflowClient") -> None:
            from mlflow.system_metrics import system_metrics_monitor

            logging.getLogger(system_metrics_monitor.__name__).setLevel(logging.WARNING)
            self.monitor = system_metrics_monitor.SystemMetricsMonitor(
                self.run_id, resume_logging=self.existed, tracking_uri=client.tracking_uri
            )
            self.monitor.start()

        self._attempt(start)

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
        if self.monitor is not None:
            self.monitor.finish()
        if self.ended_at is None and "restored" in self.made.tags:
            # Nobody knows how long it took: not as long as logging it does.
            self._attempt(lambda client: client.update_run(self.run_id, status=end))
        else:
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
        """Return False for a point that a resumed training repeats; a corrected value is new."""
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
            warn(error, self.results)
            self.client = None


def warn(error: Exception, results: str) -> None:
    lines = store.without_credentials(error).strip().splitlines() or [type(error).__name__]
    logger.warning(
        "MLflow is not reachable (%s: %s): the stage goes on without it; the results are in %s",
        store.shown_uri(),
        lines[0][:200],
        results,
    )

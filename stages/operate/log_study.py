"""A study in MLflow: a run with its table and picture, and below it a run for each row and seed."""

from dataclasses import asdict
from pathlib import Path

from stages.reporting.study_result import Found, StudyResult
from stages.tracking import runs
from stages.tracking.pipeline_runs import PARENT
from tsn.files import json_sha256


def log_study(result: StudyResult, folder: Path) -> None:
    """Log a study from the files of its folder; an equal one goes into the run that it has."""
    plan = result.plan
    what = [asdict(plan.study), plan.splits, plan.seeds, plan.rows, plan.small]
    fingerprint = json_sha256([result.commit, *what])
    with runs.run(
        part="study",
        dataset=plan.dataset,
        name=f"study {plan.name}",
        key={"stage": "study", "study": plan.name, "fingerprint": fingerprint},
        params={"splits": plan.splits, "seeds": plan.seeds, "small": dict(plan.small)},
        tags={"dataset": plan.dataset, "verdict": result.verdict},
        results=str(folder),
    ) as run:
        for name in result.file_names:
            run.log_artifact(folder / name)
        for found in result.found:
            _log_row(result, found, fingerprint, run.run_id)


def _log_row(result: StudyResult, found: Found, fingerprint: str, parent: str) -> None:
    """Log a row, tagged with the runs of the splits that it was made of."""
    plan, row = result.plan, result.plan.study.rows[found.row]
    name = row.label if found.seed is None else f"{row.label}, seed {found.seed}"
    tags = {"dataset": plan.dataset, "row": found.row, PARENT: parent}
    for split, digest in found.digests.items():
        key = {"stage": "fuse", "split": str(split), runs.METRICS_TAG: digest}
        for source in runs.find_runs(plan.dataset, key)[:1]:
            tags[f"source.split{split}"] = source.run_id
    with runs.run(
        part="study",
        dataset=plan.dataset,
        name=name,
        key={
            "stage": "study-row",
            "study": plan.name,
            "fingerprint": json_sha256([fingerprint, found.row, found.seed]),
        },
        params={"set": row.set or {}, "on": row.on.get(plan.dataset, {}), "seed": found.seed},
        tags=tags,
    ) as run:
        run.log_metrics({title: value / 100 for title, value in found.accuracies.items()})
        run.log_metrics(
            {f"{title}/frames_per_second": value for title, value in found.speeds(plan).items()}
        )

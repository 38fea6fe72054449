"""Two pipeline runs of a toy dataset `d` in MLflow, logged as the stages log theirs."""

from pathlib import Path

from stages.tracking import pipeline_runs, runs

RECIPE = """
train:
  rgb: {seed: 1, solver: {base_lr: 0.05}}
  flow: {seed: 1, solver: {base_lr: LR}}
fusion: {headline: two_stream}
package: {split: 1}
promotion: {minimum_gain: 0.0}
"""
SELECTION = "datasets: [d]\nsplits: [1, 2]\nmodalities: [rgb, flow]\n"


def write_recipe(root: Path, lr: str) -> None:
    """Write params.yaml and the recipe of `d`, with flow's learning rate."""
    (root / "recipes").mkdir(exist_ok=True)
    (root / "params.yaml").write_text(SELECTION)
    (root / "recipes/d.yaml").write_text(RECIPE.replace("LR", lr))


def log(stage: str, name: str, lr: str, result: float = 0.5, **tags: str) -> str:
    """Log a run with a result and a curve, and return its id."""
    is_pipeline, key = stage == "report", {"stage": stage, "fingerprint": f"{name} {lr}"}
    values = pipeline_runs.recipe_values("d") if is_pipeline else {}
    with runs.run(part=stage, dataset="d", name=name, key=key, params=values, tags=tags) as run:
        kind = "headline" if stage in ("report", "fuse") else "test"
        run.log_metrics({f"{kind}/mean_class_accuracy": result})
        if stage == "cell":
            run.log_series({"train/loss": [(step, 2 / step) for step in range(1, 6)]})
        if is_pipeline:
            run.adopt()
    return run.run_id


def log_pipeline(lr: str, rgb: str | None = None) -> dict[str, str]:
    """Log a pipeline's runs, and return their ids; `rgb` is the run of an older network.

    Split 2 has networks alone.
    """
    rgb = rgb or log("cell", "split1 rgb", lr, 0.6, split="1", modality="rgb")
    flow = log("cell", "split1 flow", lr, 0.7, split="1", modality="flow")
    for modality, result in (("rgb", 0.75), ("flow", 0.5)):
        log("cell", f"split2 {modality}", lr, result, split="2", modality=modality)
    sources = {"source.rgb": rgb, "source.flow": flow}
    fuse = log("fuse", "split1 fusion", lr, 0.8, split="1", modality="fusion", **sources)
    tags = {"modality": "fusion", "data": "1", "source.split1": fuse}
    return {"rgb": rgb, "flow": flow, "fuse": fuse, "mean": log("report", "mean", lr, 0.8, **tags)}

"""A recogniser as an MLflow model: from code, with its signature and pinned requirements.

The model holds the recogniser's folder, a copy of `tsn` and of `stages/tracking/served_model.py`,
and no pickle. Its id leads to it in the experiment of the dataset.
"""

import logging
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.runtime.places import PROJECT_ROOT
from stages.tracking import store
from tsn.recogniser.card import RecogniserCard

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput

FINGERPRINT = "fingerprint"  # a tag of logged models and of versions

PINNED = PROJECT_ROOT / "requirements.lock"
LIBRARY = PROJECT_ROOT / "tsn"
SERVED_MODEL = Path(__file__).with_name("served_model.py")
BUNDLE = "recogniser"  # as SERVED_MODEL calls it
# What `tsn.recogniser.recogniser` and SERVED_MODEL import; torch brings what flow on a GPU needs.
SERVED_WITH = (
    *("av", "decord2", "mlflow", "numba", "numpy", "opencv-contrib-python-headless", "pandas"),
    *("safetensors", "timm", "torch", "torchvision"),
)


def logged_model(
    client: "MlflowClient", dataset: str, bundle: Path, card: RecogniserCard, run_id: str
) -> str:
    """Return the id of that recogniser's logged model, made unless a killed call got this far."""
    experiment = store.ensure_experiment(client, dataset)
    equal = f"tags.`{FINGERPRINT}` = '{card.fingerprint}'"
    for model in client.search_logged_models([experiment], equal):
        if str(model.status) == "READY":
            return str(model.model_id)
        client.delete_logged_model(model.model_id)  # the upload of a killed call
    return _log_model(client, experiment, bundle, card, run_id)


def _log_model(
    client: "MlflowClient", experiment: str, bundle: Path, card: RecogniserCard, run_id: str
) -> str:
    from mlflow.entities import LoggedModelOutput

    model = client.create_logged_model(
        experiment,
        name=f"recogniser-split{card.split}",
        source_run_id=run_id,
        tags={FINGERPRINT: card.fingerprint},
        params={"combination": card.description, "split": str(card.split)},
        model_type="recogniser",
    )
    with tempfile.TemporaryDirectory(prefix="tsn-") as folder:
        saved = Path(folder) / "model"
        _save_model(saved, bundle, card, run_id, model.model_id, model.artifact_location)
        with store.patient_transfer():
            client.log_model_artifacts(model.model_id, str(saved))
    client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
    _link_results(client, run_id, model.model_id)
    client.finalize_logged_model(model.model_id, "READY")
    return str(model.model_id)


def _link_results(client: "MlflowClient", run_id: str, model_id: str) -> None:
    """Have the model show the results of its run, with the data set that they are of."""
    run = client.get_run(run_id)
    tested = [row.dataset for row in run.inputs.dataset_inputs if _context(row) == "testing"]
    data = {"dataset_name": tested[0].name, "dataset_digest": tested[0].digest} if tested else {}
    for name, value in run.data.metrics.items():
        client.log_metric(run_id, name, value, model_id=model_id, **data)


def _context(row: "DatasetInput") -> str:
    return next((tag.value for tag in row.tags if tag.key == "mlflow.data.context"), "")


def _save_model(
    folder: Path, bundle: Path, card: RecogniserCard, run_id: str, model_id: str, location: str
) -> None:
    import mlflow
    import pandas as pd
    from mlflow.models import Model

    model = Model(
        artifact_path=location,
        model_uuid=model_id,
        run_id=run_id,
        model_id=model_id,
        metadata={FINGERPRINT: card.fingerprint, "classes": list(card.classes)},
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own, of the signature and the example
        logging.getLogger("mlflow.pyfunc").setLevel(logging.WARNING)  # of the example's check
        mlflow.pyfunc.save_model(
            path=str(folder),
            python_model=str(SERVED_MODEL),
            artifacts={BUNDLE: str(bundle.resolve())},
            code_paths=[str(LIBRARY)],
            pip_requirements=pinned_requirements(),
            signature=_signature(),
            input_example=pd.DataFrame({"video": ["clip.mov"]}),
            mlflow_model=model,
        )


def _signature() -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema
    from mlflow.types.schema import Map

    video = ColSpec(DataType.string, "video", required=False)
    content = ColSpec(DataType.binary, "content", required=False)
    label = ColSpec(DataType.string, "label")
    # One or the other: a recogniser that is not calibrated gives no probability.
    measures = [ColSpec(DataType.double, name, required=False) for name in ("probability", "share")]
    scores = ColSpec(Map(DataType.double), "scores")
    return ModelSignature(Schema([video, content]), Schema([label, *measures, scores]))


def pinned_requirements(lock: Path = PINNED) -> list[str]:
    """Return the pins that a served recogniser needs; raise OSError where one is missing."""
    words = lock.read_text(encoding="utf-8").split()  # pins, with their markers and hashes
    pins = {word.partition("==")[0].lower(): word for word in words if "==" in word}
    missing = [name for name in SERVED_WITH if name not in pins]
    if missing:
        raise OSError(f"{lock}: pins no {', '.join(missing)}, which a recogniser needs")
    return [pins[name] for name in SERVED_WITH]

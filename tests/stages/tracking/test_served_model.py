"""What MLflow serves, in its own process and through its own server: the recogniser's numbers."""

import base64
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from mlflow_models import PICKLES, new_run
from recognisers import CLASSES, WEIGHTS, write_recogniser
from videos import write_wandering

from stages.tracking import registry, store
from tsn.metrics import Scores
from tsn.recogniser.recogniser import load_recogniser, softmax


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a clip and a recogniser."""
    folder = tmp_path_factory.mktemp("made")
    clip = write_wandering(folder / "clip.avi", 12)
    write_recogniser(folder / "bundle/toy", [clip], weights=WEIGHTS)
    return folder


@pytest.fixture
def registered(mlflow_folder: Path, made: Path) -> Path:
    """The folder of a recogniser that is the challenger of `toy`."""
    shutil.copytree(made, mlflow_folder, dirs_exist_ok=True)
    folder = mlflow_folder / "bundle/toy"
    registry.register("toy", folder, new_run())
    return folder


def expected_scores(folder: Path, video: Path) -> Scores:
    return load_recogniser(folder, torch.device("cpu")).score(video)


def test_a_path_and_bytes_give_the_recognisers_scores(
    mlflow_folder: Path, registered: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow
    from mlflow.exceptions import MlflowException

    monkeypatch.setenv("NUMBA_CACHE_DIR", str(mlflow_folder / "compiled"))
    mlflow.set_tracking_uri(store.tracking_uri())
    model = mlflow.pyfunc.load_model("models:/toy@challenger")
    video, other = (
        mlflow_folder / "clip.avi",
        write_wandering(mlflow_folder / "other.mp4", 30, 2, "mp4v"),
    )
    by_path = model.predict(pd.DataFrame({"video": [str(video), str(other)]}))
    by_bytes = model.predict(pd.DataFrame({"content": [video.read_bytes(), other.read_bytes()]}))
    for answers in (by_path, by_bytes):
        for answer, path in zip(answers.to_dict("records"), (video, other), strict=True):
            scores = expected_scores(registered, path)
            assert tuple(answer["scores"]) == CLASSES
            np.testing.assert_allclose([*answer["scores"].values()], scores, atol=1e-4)
            assert answer["label"] == CLASSES[scores.argmax()]
            assert answer["probability"] == pytest.approx(softmax(scores).max(), abs=1e-4)
    for rows, message in (
        ({"video": [str(video), "/none.avi"]}, "row 1: /none.avi: no such video file"),
        ({"content": [b"no video"]}, "row 0: content: not a video file: it holds text"),
        ({"video": [str(video)], "content": [b"x"]}, "row 0: expected .*; both came"),
        ({"video": ["x" * 5000]}, "row 0: x*: no such video file"),
        ({"content": [b"ffconcat version 1.0\nfile clip.avi\n"]}, "content: a list of other"),
        ({"video": [None]}, "row 0: expected a file's path in `video`, .*; neither came"),
    ):
        with pytest.raises(MlflowException, match=message) as raised:
            model.predict(pd.DataFrame(rows))
        assert raised.value.get_http_status_code() == 400


def test_an_error_that_is_not_of_the_request_is_not_told_as_one(
    mlflow_folder: Path, registered: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(mlflow_folder / "compiled"))
    from stages.tracking import served_model

    served = served_model.ServedRecogniser()
    served.load_context(SimpleNamespace(artifacts={served_model.BUNDLE: str(registered)}))
    rows = pd.DataFrame({"content": [(mlflow_folder / "clip.avi").read_bytes()]})
    (mlflow_folder / "file").touch()
    monkeypatch.setattr(
        tempfile, "tempdir", str(mlflow_folder / "file")
    )  # nothing can be written there
    with pytest.raises(NotADirectoryError):
        served.predict(None, rows)


@pytest.fixture
def server(mlflow_folder: Path, registered: Path) -> Iterator[str]:
    """The address of `mlflow models serve` with the challenger."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    binaries = Path(sys.executable).parent
    process = subprocess.Popen(
        [
            *(binaries / "mlflow", "models", "serve", "--env-manager", "local"),
            *("--model-uri", "models:/toy@challenger", "--port", port, "--host", "127.0.0.1"),
        ],
        env={
            **os.environ,
            "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(mlflow_folder),  # for compiled code
        },
        cwd=mlflow_folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        yield wait_for(f"http://127.0.0.1:{port}", process)
    finally:
        os.killpg(process.pid, 15)
        process.communicate(timeout=60)


def wait_for(address: str, process: "subprocess.Popen[bytes]") -> str:
    deadline = time.monotonic() + 180
    while process.poll() is None and time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"{address}/ping", timeout=5)
            return address
        except OSError:
            time.sleep(0.2)
    raise AssertionError(process.stderr and process.stderr.read().decode()[-2000:])


def ask(address: str, rows: list[dict[str, str]]) -> tuple[int, Any]:
    request = urllib.request.Request(
        f"{address}/invocations",
        data=json.dumps({"dataframe_records": rows}).encode(),
        headers={"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=300) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


@pytest.mark.slow
def test_mlflow_models_serve_answers_with_it(
    mlflow_folder: Path, registered: Path, server: str
) -> None:
    video = mlflow_folder / "clip.avi"
    content = base64.b64encode(video.read_bytes()).decode()
    scores = expected_scores(registered, video)
    for row in ({"video": str(video)}, {"content": content}):
        status, answer = ask(server, [row])
        assert status == 200, answer
        (found,) = answer["predictions"]
        assert found["label"] == CLASSES[scores.argmax()]
        named = [found["scores"][name] for name in CLASSES]
        np.testing.assert_allclose(named, scores, atol=1e-4)
    status, answer = ask(server, [{"video": "/none.avi"}])
    assert status == 400 and "row 0: /none.avi: no such video file" in answer["message"]
    status, answer = ask(server, [{"content": "bm8gdmlkZW8="}])
    assert status == 400 and "row 0: content: not a video file" in answer["message"]
    status, answer = ask(server, [{"film": "x"}])
    assert status == 400 and "expected rows with a file's path" in answer["message"]
    logged = [
        path for path in (mlflow_folder / "mlartifacts/toy/models").rglob("*") if path.is_file()
    ]
    assert {path.suffix for path in logged} & PICKLES == set()

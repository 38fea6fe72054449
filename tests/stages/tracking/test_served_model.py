"""What MLflow serves, in its own process and through its own server: the recogniser's numbers."""

import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from encoded import encode
from mlflow_models import PICKLES, new_run
from recognisers import CLASSES, WEIGHTS, write_recogniser
from toy_grid import wait_until
from videos import vivid_frames, write_wandering
from workspace import ROOT

from stages.tracking import registry, store
from tsn.metrics import Scores
from tsn.recogniser.calibration import softmax
from tsn.recogniser.recogniser import load_recogniser


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
            assert answer["share"] == pytest.approx(softmax(scores).max(), abs=1e-4)
    good = by_path.to_dict("records")[0]
    for bad, reason in (
        ({"video": "/none.avi"}, "no such video file"),
        ({"video": "x" * 5000}, "no such video file"),
        ({"video": "a\0b"}, "no such video file"),
        ({"content": b"no video"}, "not a video file: it holds text"),
        ({"content": b"ffconcat version 1.0\nfile clip.avi\n"}, "a list of other files"),
        (
            {"video": str(video), "content": b"x"},
            "expected a file's path in `video`, or its bytes in `content`; both came",
        ),
        (
            {"video": None},
            "expected a file's path in `video`, or its bytes in `content`; neither came",
        ),
    ):
        table = pd.DataFrame([{"video": str(video)}, bad, {"content": video.read_bytes()}])
        first, second, third = model.predict(table).to_dict("records")
        assert second.pop("error").startswith(reason)
        assert {*second.values()} == {None}
        for row in (first, third):
            assert row.pop("error") is None
            assert row["scores"] == pytest.approx(good["scores"], abs=1e-4)


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


def slow_video(folder: Path) -> Path:
    """A video of minutes, which is a short one many times."""
    once = encode(folder / "once.m4v", vivid_frames(12, 1920, 1080), "m4v", "mpeg4").read_bytes()
    (folder / "long.m4v").write_bytes(once * 300)
    return folder / "long.m4v"


def one_core() -> None:
    os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*Any type hint")  # of MLflow's class
def test_a_slow_row_costs_the_others_nothing(tmp_path: Path) -> None:
    from stages.tracking import served_model

    clip, slow = write_wandering(tmp_path / "clip.avi", 12), slow_video(tmp_path)
    write_recogniser(tmp_path / "bundle/toy", [clip], weights={"rgb": 1.0})
    served = served_model.ServedRecogniser()
    served.load_context(SimpleNamespace(artifacts={served_model.BUNDLE: tmp_path / "bundle/toy"}))
    served.predict(None, pd.DataFrame({"video": [str(clip)]}))
    served.seconds = 10.0
    began = time.monotonic()
    answers = served.predict(None, pd.DataFrame({"video": [str(slow), str(clip)]}))
    assert time.monotonic() - began < 20
    first, second = answers.to_dict("records")
    assert first["error"] == "not within the 10 s of a request"
    assert second["label"] in CLASSES and second["error"] is None


@pytest.fixture
def server(
    mlflow_folder: Path, registered: Path
) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """The challenger as `tsn serve` serves it, one request at once, and none that waits."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    with (mlflow_folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "stages.tracking.model_server"),
                *("--model", "models:/toy@challenger", "--port", port),
            ],
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "HOME": str(mlflow_folder),  # for compiled code
                "TSN_SERVE_QUEUE": "0",
                "TSN_SERVE_MEGABYTES": "1",
                "TSN_SERVE_FRAMES": "50000",
            },
            cwd=mlflow_folder,
            stdout=subprocess.DEVNULL,
            stderr=log,
            start_new_session=True,
            preexec_fn=one_core,
        )
    try:
        yield wait_for(f"http://127.0.0.1:{port}", process, mlflow_folder / "log"), process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_for(address: str, process: "subprocess.Popen[bytes]", log: Path) -> str:
    deadline = time.monotonic() + 180
    while process.poll() is None and time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"{address}/ping", timeout=5)
            return address
        except OSError:
            time.sleep(0.2)
    raise AssertionError(log.read_text()[-2000:])


def ask(address: str, rows: list[dict[str, Any]], **headers: str) -> tuple[int, Any]:
    return send(address, json.dumps({"dataframe_records": rows}).encode(), **headers)


def send(address: str, body: bytes | Iterator[bytes], **headers: str) -> tuple[int, Any]:
    request = urllib.request.Request(
        f"{address}/invocations", body, {"Content-Type": "application/json"} | headers
    )
    try:
        with urllib.request.urlopen(request, timeout=300) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            text = error.read().decode()
            for word in (str(ROOT), tempfile.gettempdir(), "site-packages", "Traceback"):
                assert word not in text, "names a path of the server"
            return error.code, json.loads(text) if text.startswith("{") else text


@contextmanager
def left_alone(address: str, video: Path) -> Iterator[None]:
    """Has asked about a video, and goes away at the end of the block."""
    host, _, port = address.removeprefix("http://").partition(":")
    body = json.dumps({"dataframe_records": [{"video": str(video)}]}).encode()
    head = f"POST /invocations HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        yield


def readers(process: "subprocess.Popen[bytes]") -> list[int]:
    """The processes that the server has spawned to read videos."""
    found = Path(f"/proc/{process.pid}/task").glob("*/children")
    children = [int(pid) for path in found for pid in path.read_text().split()]
    return [pid for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]


@pytest.mark.slow
def test_tsn_serve_answers_within_its_limits(
    mlflow_folder: Path, registered: Path, server: tuple[str, "subprocess.Popen[bytes]"]
) -> None:
    address, process = server
    video = mlflow_folder / "clip.avi"
    content = base64.b64encode(video.read_bytes()).decode()
    scores = expected_scores(registered, video)
    rows = [
        {"video": str(video)},
        {"content": "bm8gdmlkZW8="},
        {"video": 5},
        {"content": "?"},
        {"video": "/none.avi"},
        {"film": "x"},
        {"content": f"{content[:76]}\n{content[76:]}"},  # as `base64` writes it
    ]
    status, answer = ask(address, rows)
    assert status == 200, answer
    good, *bad, also_good = answer["predictions"]
    for found in (good, also_good):
        assert found.keys() == {"label", "share", "scores"}
        assert found["label"] == CLASSES[scores.argmax()]
        named = [found["scores"][name] for name in CLASSES]
        np.testing.assert_allclose(named, scores, atol=1e-4)
    reasons = ["not a video file", "expected a file", "`content` is not", "no such", "expected a"]
    for found, reason in zip(bad, reasons, strict=True):
        assert found.keys() == {"error"}
        assert found["error"].startswith(reason)
    status, answer = ask(address, [{"video": "/none.avi"}])
    assert (status, answer["message"]) == (422, "row 0: no such video file")
    assert answer["predictions"] == [{"error": "no such video file"}]
    assert send(address, b"{")[0] == send(address, b"[" * 100_000)[0] == ask(address, [])[0] == 400
    assert send(address, b"x", **{"Content-Type": "text/html"})[0] == 415
    assert send(address, b" " * 1_000_001)[0] == 413
    assert send(address, iter([b" " * 600_000] * 2))[0] == 413  # which says no length before
    assert ask(address, rows, Origin="http://evil.example")[0] == 403
    assert ask(address, rows, Host="evil.example")[0] == 403
    slow = slow_video(mlflow_folder)
    with left_alone(address, slow):
        wait_until(lambda: ask(address, rows)[0] == 503, "a full queue")
        began = time.monotonic()
        assert urllib.request.urlopen(f"{address}/version", timeout=10).status == 200
        assert time.monotonic() - began < 5
    wait_until(lambda: ask(address, rows)[0] == 200, "an end of what nobody waits for", 20)
    with left_alone(address, slow):
        wait_until(lambda: ask(address, rows)[0] == 503, "a full queue")
        reading = readers(process)
        assert reading
        process.terminate()
        process.wait(15)
        left = [Path(f"/proc/{pid}") for pid in reading]
        wait_until(lambda: not any(path.exists() for path in left), "an end of the readers", 5)
    logged = [
        path for path in (mlflow_folder / "mlartifacts/toy/models").rglob("*") if path.is_file()
    ]
    assert {path.suffix for path in logged} & PICKLES == set()

"""The application around a served recogniser, in this process, asked as a browser asks."""

import base64
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from recognisers import CLASSES, write_recogniser
from served import serve, served_recogniser
from starlette.testclient import TestClient
from videos import write_wandering

from stages.tracking.model_page import PAGE
from tsn.drawing.modality_sheet import flow_colours, full_strength
from tsn.recogniser.calibration import softmax
from tsn.recogniser.recogniser import load_recogniser

FORM = "multipart/form-data"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a clip and a recogniser."""
    folder = tmp_path_factory.mktemp("made")
    clip = write_wandering(folder / "clip.avi", 12)
    write_recogniser(folder / "bundle/toy", [clip], weights={"rgb": 1.0, "flow": 1.5})
    return folder


@pytest.fixture(scope="module")
def served(made: Path) -> Any:
    return served_recogniser(made / "bundle/toy")


@pytest.fixture
def client(served: Any) -> TestClient:
    return TestClient(serve(served).app, base_url="http://127.0.0.1:5001")


def send(client: TestClient, content: bytes, name: str = "video", **headers: str) -> Any:
    return client.post("/recognise", files={name: ("x.avi", content)}, headers=headers)


def test_an_upload_gets_the_recognisers_answer_and_what_led_to_it(
    made: Path, client: TestClient
) -> None:
    clip = made / "clip.avi"
    answer = send(client, clip.read_bytes(), Origin="http://127.0.0.1:5001").json()
    sight = load_recogniser(made / "bundle/toy", torch.device("cpu")).look(clip)
    assert list(answer["scores"]) == list(CLASSES)
    np.testing.assert_allclose([*answer["scores"].values()], sight.scores, atol=1e-4)
    order = np.argsort(-sight.scores)
    assert [row["class"] for row in answer["top"]] == [CLASSES[k] for k in order]
    assert answer["label"] == CLASSES[order[0]]
    assert answer["share"] == answer["top"][0]["share"]
    np.testing.assert_allclose(answer["moments"]["at"], sight.at)
    expected = softmax(sight.moments)[:, order].T
    np.testing.assert_allclose(answer["moments"]["shares"], expected, atol=1e-4)
    assert sight.flow is not None
    colours = flow_colours(sight.flow, full_strength(sight.bound))
    for picture, image in (("frame", sight.frame), ("flow", colours)):
        kind, _, data = answer["pictures"][picture].partition(",")
        assert kind == "data:image/jpeg;base64"
        shown = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
        assert np.abs(shown.astype(int) - image).mean() < 10


def test_refusals_are_those_of_invocations(made: Path, client: TestClient) -> None:
    content = (made / "clip.avi").read_bytes()
    for answer, status, message in (
        (send(client, b"no video"), 422, "not a video file: it holds text"),
        (send(client, b""), 422, "the file is empty"),
        (send(client, content, "film"), 400, "expected a video file in the form's field `video`"),
        (client.post("/recognise", data={"video": "x"}), 415, "expected a form"),
        (client.post("/recognise", json={"video": "x"}), 415, "expected a form"),
        (client.post("/recognise", content=b"x", headers={"Content-Type": FORM}), 400, "Missing"),
        (send(client, b" " * 1_000_001), 413, "a request has at most 1 MB"),
    ):
        assert answer.status_code == status, answer.text
        assert answer.json()["message"].startswith(message)
    assert send(client, content, Origin="http://evil.example").status_code == 403
    assert send(client, content, Host="evil.example").status_code == 403


def test_a_full_queue_refuses_an_upload(served: Any) -> None:
    server = serve(served)
    server._taken = server._most
    answer = send(TestClient(server.app, base_url="http://127.0.0.1"), b"x")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")


def test_what_is_counted(made: Path, client: TestClient) -> None:
    send(client, (made / "clip.avi").read_bytes())
    send(client, b"no video")
    rows = [{"video": str(made / "clip.avi")}, {"video": "/none"}]
    client.post("/invocations", json={"dataframe_records": rows})
    lines = client.get("/metrics").text.splitlines()
    for line in (
        'tsn_requests_total{path="/recognise",status="200"} 1.0',
        'tsn_requests_total{path="/recognise",status="422"} 1.0',
        'tsn_requests_total{path="/invocations",status="200"} 1.0',
        'tsn_request_seconds_count{path="/recognise"} 2.0',
        'tsn_videos_total{outcome="recognised"} 2.0',
        'tsn_videos_total{outcome="refused"} 2.0',
        "tsn_requests_running 0.0",
        "tsn_requests_waiting 0.0",
    ):
        assert line in lines


def test_a_failure_of_the_server_is_told_as_one(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "file"))  # nothing can be written there
    answer = send(client, b"x")
    assert (answer.status_code, answer.json()["error_code"]) == (500, "INTERNAL_SERVER_ERROR")
    assert str(tmp_path) not in answer.text


def test_a_model_of_before_says_less(made: Path, served: Any) -> None:
    older = SimpleNamespace(predict=served.predict, stop=served.stop, seconds=served.seconds)
    client = TestClient(serve(older).app, base_url="http://127.0.0.1")
    answer = send(client, (made / "clip.avi").read_bytes())
    assert answer.json().keys() == {"label", "share", "scores"}
    assert send(client, b"no video").json()["message"].startswith("not a video file")


def test_the_page_is_whole_and_the_description_true(client: TestClient) -> None:
    page = client.get("/")
    assert "connect-src 'self'" in page.headers["Content-Security-Policy"]
    addresses = re.findall(r"\w+://[^\s\"'`]+", PAGE.read_text(encoding="utf-8"))
    assert addresses == ["http://www.w3.org/2000/svg"]  # a name, which nothing fetches
    described = client.get("/openapi.json").json()
    paths = described["paths"]
    assert {"/recognise", "/invocations", "/model", "/metrics"} <= paths.keys()
    assert [*paths["/recognise"]["post"]["requestBody"]["content"]] == [FORM]
    answer = described["components"]["schemas"]["Recognised"]["properties"]
    measures = {"probability", "share"}
    assert answer.keys() == {"label", *measures, "scores", "top", "moments", "pictures"}
    assert client.get("/docs").json() == described  # and not MLflow's, whose scripts are elsewhere
    assert client.get("/model").json()["classes"] == list(CLASSES)
    assert client.get("/health").status_code == 200

"""MLflow's UI in a browser: three of the questions that docs/comparing.md answers by clicks."""

import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow_pipelines import log_pipeline, write_recipe
from mlflow_questions import CHROMIUM, QUESTIONS, new_page
from toy_grid import wait_until
from workspace import ROOT, warm

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on the PATH"),
]


@pytest.fixture
def address(mlflow_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The page that `tsn ui` names, over two pipeline runs that differ in one number."""
    monkeypatch.chdir(mlflow_folder)
    for lr in ("0.05", "0.01"):
        write_recipe(mlflow_folder, lr)
        log_pipeline(lr)
    (mlflow_folder / "dvc.yaml").touch()  # so that it is a project
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [warm() / "python", "-m", "flows.cli", "ui", "--port", str(port)]
    told = mlflow_folder / "told"
    with told.open("w") as output:
        more = os.environ | {"PYTHONPATH": str(ROOT)}
        server = subprocess.Popen(command, env=more, stdout=output, stderr=output)
        try:
            wait_until(lambda: "Ctrl-C stops it" in told.read_text(), "the UI")
            yield told.read_text().splitlines()[0]
        finally:
            server.send_signal(signal.SIGINT)
            server.wait()


def test_three_questions_are_answered_by_clicks(address: str) -> None:
    errors: list[str] = []

    def ask(browser: Any, question: str) -> str:
        page = new_page(browser)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(address)
        answer = QUESTIONS[question](page)
        page.close()
        return answer

    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        best = ask(browser, "best_modality_of_split_2")
        recipes = ask(browser, "two_recipes")
        curves = ask(browser, "flow_at_two_learning_rates")
        browser.close()
    assert {"0.75", "2", "rgb"} <= set(best.split())  # not in the order of the columns
    either = r"train.flow.solver.base_lr\s+(0.01\s+0.05|0.05\s+0.01)"  # which row was ticked first
    assert re.search(either, recipes)
    assert "train.rgb.solver.base_lr" not in recipes
    assert {"split1 flow", "split1 flow, base_lr=0.01", "train/loss"} <= set(curves.splitlines())
    assert errors == []

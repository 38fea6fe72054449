"""Where a result is on a tracking server."""

from types import SimpleNamespace

import pytest

from stages.tracking import links, store


def test_a_link_leads_to_the_run_of_the_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow's page takes the filter as a part of its address, which was tried with 3.17."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://host:5000/")
    monkeypatch.delenv("TSN_TRACKING", raising=False)
    known = {"d": SimpleNamespace(experiment_id="7")}
    client = SimpleNamespace(get_experiment_by_name=known.get)
    monkeypatch.setattr(store, "connect", lambda: client)
    assert links.run_link("d", "abc") == (
        "http://host:5000/#/experiments/7/runs?searchFilter=tags.fingerprint%20%3D%20%22abc%22"
        "&workflowType=machine_learning"
    )
    assert links.run_link("other", "abc") == ""
    monkeypatch.setenv("TSN_TRACKING", "off")
    assert links.run_link("d", "abc") == ""


def test_a_server_that_is_away_and_a_local_file_give_none(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("TSN_TRACKING", raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////nowhere/mlflow.db")
    assert links.run_link("d", "abc") == "" and not caplog.messages

    def refuse() -> None:
        raise ConnectionError("http://name:secret@host is away")

    monkeypatch.setattr(store, "connect", refuse)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://host:5000")
    assert links.run_link("d", "abc") == ""
    assert caplog.messages == ["no link to MLflow: http://host is away"]

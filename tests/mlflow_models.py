"""Runs and model versions that hold nothing, for tests of the registry."""

from stages.tracking import registry, runs, store
from stages.tracking.registry import CHALLENGER, CHAMPION, PREVIOUS

PICKLES = {".pkl", ".pickle", ".pt", ".pth", ".bin", ".pyc", ".nbi", ".nbc", ".npy", ".joblib"}


def new_run(dataset: str = "toy") -> str:
    """Return the id of a new run that packaged nothing."""
    key = {"stage": "package"}
    with runs.run(part="package", dataset=dataset, name="n", key=key, params={}, tags={}):
        pass
    return runs.find_runs(dataset, key)[0].run_id


def make_versions(count: int, name: str = "toy") -> list[registry.Version]:
    """Register versions that hold nothing, for the tests of aliases."""
    client = store.connect()
    client.create_registered_model(name)
    for number in range(count):
        client.create_model_version(name, f"/nowhere/{number}", tags={"fingerprint": str(number)})
    return [registry.find_number(name, str(number + 1)) for number in range(count)]


def aliases(name: str = "toy") -> dict[str, str]:
    """Return the version numbers by alias."""
    found = {alias: registry.find(name, alias) for alias in (CHAMPION, CHALLENGER, PREVIOUS)}
    return {alias: version.number for alias, version in found.items() if version is not None}

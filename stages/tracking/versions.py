"""What the registry says of a dataset's versions: which there are, and with which settings."""

from stages.tracking import registry, store
from stages.tracking.pipeline_runs import SOURCE
from stages.tracking.registry import Version

OF_NETWORK = ("train", "extract")  # sections of a recipe that have a part for each modality
OF_DATASET = ("source", "split", "accept", "init", "score")


def list_versions(dataset: str) -> dict[str, list[str]]:
    """Return the aliases of every version by its number, the oldest first. Creates nothing."""
    with registry.mlflow_errors():
        client = store.connect_existing()
        if client is None:
            return {}
        found = client.search_model_versions(f"name = '{dataset}'")
        models = client.search_registered_models(f"name = '{dataset}'")
    aliases = models[0].aliases if models else {}
    return {
        number: sorted(alias for alias, target in aliases.items() if str(target) == number)
        for number in sorted((str(version.version) for version in found), key=int)
    }


def find_settings(version: Version) -> dict[str, str]:
    """Return the settings of a version's networks by the recipe's dotted names, values as text.

    They come from the runs of its networks; without those there are none.
    """
    with registry.mlflow_errors():
        client = store.connect_existing()
        if client is None or not version.run_id:
            return {}
        tags = client.get_run(version.run_id).data.tags
        runs = {
            tag.removeprefix(SOURCE): run for tag, run in tags.items() if tag.startswith(SOURCE)
        }
        params = {name: client.get_run(run).data.params for name, run in runs.items()}
    found: dict[str, str] = {}
    for modality, values in params.items():
        for name, value in values.items():
            section, _, rest = name.partition(".")
            if section in OF_NETWORK:
                found[f"{section}.{modality}.{rest}"] = value
            elif section in OF_DATASET:
                found[name] = value
    return found

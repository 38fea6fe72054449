"""promote: make a registered recogniser the champion of its dataset, or the one before it again.

Without --version it is the challenger, the newest that the pipeline made.
"""

import shlex
from dataclasses import dataclass

from stages.runtime import command
from stages.runtime.options import StageOptions, option
from stages.tracking import registry, store
from stages.tracking.registry import CHALLENGER, CHAMPION, PREVIOUS, Version


@dataclass(frozen=True, kw_only=True)
class Options(StageOptions):
    dataset: str = option("a recipe: recipes/<dataset>.yaml")
    version: str | None = option("the number of a registered version", default=None)
    roll_back: bool = option("the previous one again", default=False)

    def __post_init__(self) -> None:
        if self.roll_back and self.version:
            raise ValueError("--roll-back takes no --version")


def main(options: Options) -> None:
    before = aliases(options.dataset)
    if options.roll_back:
        registry.roll_back(options.dataset)
    else:
        registry.promote(chosen(options.dataset, options.version))
    after = aliases(options.dataset)
    print(table(before, after))
    model = f"models:/{options.dataset}@{CHAMPION}"
    address = shlex.quote(store.tracking_uri())
    print(f"  recognise a video  python -m stages.operate.recognise clip.avi --model {model}")
    print(
        f"  serve it           MLFLOW_TRACKING_URI={address} make serve DATASET={options.dataset}"
    )


def chosen(dataset: str, number: str | None) -> Version:
    """Return the version of that number, or the challenger."""
    if number is not None:
        return registry.find_number(dataset, number)
    challenger = registry.find(dataset, CHALLENGER)
    if challenger is None:
        raise registry.NotRegisteredError(
            f"{dataset} has no challenger; `make repro` packages and registers one"
        )
    return challenger


def aliases(dataset: str) -> dict[str, Version | None]:
    """Return the version under each alias."""
    return {alias: registry.find(dataset, alias) for alias in (CHAMPION, PREVIOUS, CHALLENGER)}


def table(before: dict[str, Version | None], after: dict[str, Version | None]) -> str:
    """Return a line per alias: which version it was, and which it is."""
    lines = []
    for alias, version in after.items():
        was, now = describe(before[alias]), describe(version)
        lines.append(f"  {alias:10}  {now}" if was == now else f"  {alias:10}  {was} -> {now}")
    return "\n".join(lines)


def describe(version: Version | None) -> str:
    """Return a version in words: what it fuses, and its accuracy on its own test list."""
    if version is None:
        return "none"
    measured = version.tags.get("test.mean_class_accuracy")
    facts = [version.tags.get("combination"), f"{float(measured):.1%}" if measured else None]
    known = [fact for fact in facts if fact]
    return f"{version}" + (f" ({', '.join(known)})" if known else "")


if __name__ == "__main__":
    command.run(__doc__, Options, main)

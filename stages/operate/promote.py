"""Make a registered recogniser the champion of its dataset, or the one before it again.

Without a version it is the challenger, the newest that the pipeline made.
"""

from dataclasses import dataclass

from stages.runtime.places import RECOGNISERS
from stages.tracking import registry
from stages.tracking.registry import CHALLENGER, CHAMPION, PREVIOUS, Version
from tsn.recogniser.card import CARD, read_card


@dataclass(frozen=True, kw_only=True)
class Options:
    """dataset: a recipe. version: a registered number. roll_back: the previous one again."""

    dataset: str
    version: str | None = None
    roll_back: bool = False

    def __post_init__(self) -> None:
        if self.roll_back and self.version:
            raise ValueError("--roll-back takes no --version: it is the champion before this one")


def main(options: Options) -> None:
    before = aliases(options.dataset)
    if options.roll_back:
        registry.roll_back(options.dataset)
    else:
        registry.promote(chosen(options.dataset, options.version))
    after = aliases(options.dataset)
    print(table(before, after))
    model = f"models:/{options.dataset}@{CHAMPION}"
    print(f"  recognise a video  tsn recognise clip.avi --model {model}")
    print(f"  serve it           tsn serve {options.dataset}")


def chosen(dataset: str, number: str | None) -> Version:
    """Return the version of that number, or the challenger; say if that is not this project's."""
    if number is not None:
        return registry.find_number(dataset, number)
    here = RECOGNISERS / dataset
    if (here / CARD).is_file():
        card, _ = read_card(here)
        own = registry.find_fingerprint(dataset, card.fingerprint)
        if own is not None and own != registry.find(dataset, CHALLENGER):
            print(f"  {here} is {own}, not the challenger: --version {own.number} promotes it")
    challenger = registry.find(dataset, CHALLENGER)
    if challenger is None:
        raise registry.NotRegisteredError(
            f"{dataset} has no challenger; `tsn repro` packages one, and `tsn sync` registers it"
        )
    return challenger


def aliases(dataset: str) -> dict[str, Version | None]:
    """Return the version under each alias."""
    return {alias: registry.find(dataset, alias) for alias in (CHAMPION, PREVIOUS, CHALLENGER)}


def table(before: dict[str, Version | None], after: dict[str, Version | None]) -> str:
    """Return a line per alias: which version it was, and which it is.

    The challenger stays the challenger when it is promoted: the line says that it is the champion.
    """
    lines = []
    for alias, version in after.items():
        was, now = describe(before[alias]), describe(version)
        if alias == CHALLENGER and version is not None and version == after[CHAMPION]:
            lines.append(f"  {alias:10}  {version}, which is the champion")
            continue
        lines.append(f"  {alias:10}  {now}" if was == now else f"  {alias:10}  {was} -> {now}")
    return "\n".join(lines)


def describe(version: Version | None) -> str:
    """Return a version in words: what it fuses, and its accuracy on its own test list."""
    if version is None:
        return "none"
    measured = version.tags.get(registry.ACCURACY)
    facts = [version.tags.get("combination"), f"{float(measured):.1%}" if measured else None]
    known = [fact for fact in facts if fact]
    return f"{version}" + (f" ({', '.join(known)})" if known else "")

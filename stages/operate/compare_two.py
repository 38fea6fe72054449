"""Two results of a dataset against each other, paired by test video."""

import json
from dataclasses import dataclass
from pathlib import Path

from stages.operate import sides
from stages.reporting import two_sides
from stages.reporting.two_sides import Side, TwoSides
from stages.runtime import params
from tsn.recogniser.comparison import PromotionRule, compare
from tsn.recogniser.paired_tests import pair_tests


@dataclass(frozen=True, kw_only=True)
class Options:
    """a, b: names, as `sides.find` takes them. out: folder of the page."""

    dataset: str
    a: str
    b: str
    out: Path
    json: bool


def main(options: Options) -> None:
    """Print the comparison, as a table or as JSON, and write its page."""
    root = Path.cwd()
    found = [sides.find(name, options.dataset, root) for name in (options.a, options.b)]
    if found[0].key == found[1].key:
        raise ValueError(f"{options.a} and {options.b} are the same: {found[0].what}")
    a, b = (side.read() for side in found)
    for side, name in ((a, options.a), (b, options.b)):
        if not side.mean and not side.splits and not side.tests:
            raise ValueError(
                f"{name} ({side.what}) has no results of {options.dataset}: where the pipeline has "
                "run, commit dvc.lock and metrics/ with git, or compare `workspace`"
            )
    rule = params.section(params.load_recipe(options.dataset), "promotion", PromotionRule)
    two = put_together(options.dataset, a, b, rule.confidence)
    page = options.out / two.file_name
    two_sides.write_page(two, page)
    if options.json:
        print(json.dumps(two_sides.numbers(two, page), indent=2, ensure_ascii=False))
        return
    print("\n".join(two_sides.text(two)))
    print(f"\n  the page with every class   {_shown(page, root)}")


def put_together(dataset: str, a: Side, b: Side, confidence: float) -> TwoSides:
    """Return the two sides with their test videos paired, or why they cannot be."""
    paired = comparison = None
    lacking = [side.name for side in (a, b) if not side.tests]
    unpaired = f"the scores of {' and '.join(lacking)} are not there" if lacking else ""
    if not lacking:
        try:
            paired = pair_tests(a.tests, b.tests)
            comparison = compare(
                paired.first, paired.second, paired.labels, paired.classes, confidence
            )
        except ValueError as error:
            paired, unpaired = None, str(error)
    return TwoSides(
        dataset=dataset, a=a, b=b, paired=paired, comparison=comparison, unpaired=unpaired
    )


def _shown(page: Path, root: Path) -> Path:
    return page.relative_to(root) if page.is_relative_to(root) else page

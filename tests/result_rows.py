"""A report of two splits of three rows, by hand: its rows, and the plainest page of them."""

from stages.reporting.learned import Learned
from stages.reporting.making import Making
from stages.reporting.page import Page
from stages.reporting.result_tables import Table
from stages.reporting.results import Results, Row
from stages.reporting.tested import VideoCounts


def row(accuracy: float, top1: float | None = None, top5: float = 1.0, **by_tag: float) -> Row:
    """A row; its top-1 is its mean class accuracy if nothing else is said."""
    top1 = accuracy if top1 is None else top1
    return Row(mean_class_accuracy=accuracy, top1=top1, top5=top5, by_tag=by_tag)


RGB, FLOW, FLOW_1_5 = {"rgb": 1.0}, {"flow": 1.0}, {"rgb": 1.0, "flow": 1.5}
SPLITS = {
    1: {"rgb": row(0.5, pan=0.2, motion=0.4), "flow": row(0.6), "two_stream": row(0.8)},
    2: {"rgb": row(0.7, pan=0.4), "flow": row(0.6), "two_stream": row(0.9)},
}
TESTED = VideoCounts(
    splits={1: 50, 2: 50}, classes={"a": 50, "b": 50}, tags={"pan": 20, "motion": 10}
)
FOUND = Results(
    dataset="d",
    splits=SPLITS,
    weights={"rgb": RGB, "flow": FLOW, "two_stream": FLOW_1_5},
    headline="two_stream",
    wanted="two_stream",
    not_run={},
    published={},
    learned={},
    tested=TESTED,
)
NETWORKS = Table(
    header=["", "network"], rows=[["rgb", "n"]], singles=1, headline=None, baseline=None
)
PLAIN = Page(
    results=FOUND,
    right=85,
    advice=None,
    tags={},
    facts={},
    listings=[],
    gallery=[],
    learned=Learned(gains=None, confusions=(), surest=(), notes=()),
    strip=None,
    making=Making(facts={"Code": "c"}, link="", changes=None, weights=None, networks=NETWORKS),
    figures={},
)

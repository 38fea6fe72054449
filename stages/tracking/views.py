"""The saved views that an experiment has in MLflow's UI, one for each question that people ask.

MLflow keeps a view as a tag of the experiment, with its columns, filter and order; the menu "Views"
above the table has them. The table as it comes has no metric at all.
"""

import base64
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

KEY = "mlflow.sharedViewState."  # as MLflow's UI calls them, before the name in a link
MADE = "tsn.views"  # a tag of the experiment: which views it was given
CREATED = "attributes.start_time"
HEADLINE, TESTED = "headline/mean_class_accuracy", "test/mean_class_accuracy"
# Of columns, in pixels: the names of runs and metrics are long.
WIDTHS = {"attributes.`Run Name`": 270, "runDateAndNestInfo": 140}
WIDTH = 210
COMPRESSED = "deflate;"  # how a state begins that is compressed, as the UI writes it


@dataclass(frozen=True, kw_only=True)
class View:
    """A view: its title in the menu, and what its table shows."""

    title: str
    columns: Sequence[str]
    order: str = CREATED
    filter: str = ""


def _is_metric(column: str) -> bool:
    return column.startswith("metrics.")


def _metric(name: str) -> str:
    return f"metrics.`{name}`"


def _tag(name: str) -> str:
    return f"tags.`{name}`"


MODELS, DATA, COMMIT = ("attributes.`Models`", "attributes.`Dataset`", "attributes.`Version`")
# By the word in their links. MLflow puts runs below their parents only where the order is that of
# their creation: in the others every run is a row.
VIEWS = {
    "pipelines": View(
        title="Pipeline runs",
        columns=[_metric(HEADLINE), _metric("headline/spread"), COMMIT, DATA],
    ),
    "streams": View(
        title="Streams, best first",
        columns=[_metric(TESTED), _tag("split"), _tag("modality"), _tag("recipe")],
        order=_metric(TESTED),
        filter="tags.stage = 'cell'",
    ),
    "fusions": View(
        title="Fusions, best first",
        columns=[_metric(HEADLINE), _tag("split"), _tag("recipe")],
        order=_metric(HEADLINE),
        filter="tags.stage = 'fuse'",
    ),
    "recognisers": View(
        title="Recognisers: commit and data",
        columns=[_metric(TESTED), COMMIT, DATA, _tag("recipe"), MODELS],
        order=_metric(TESTED),
        filter="tags.stage = 'package'",
    ),
}
NAMES = ",".join(VIEWS)


def tags() -> dict[str, str]:
    """Return the tags by which an experiment has the views, and the one that says which it has."""
    values = {
        f"{KEY}tsn-{name}": tag_value(view, n) for n, (name, view) in enumerate(VIEWS.items())
    }
    return {**values, MADE: NAMES}


def tag_value(view: View, place: int) -> str:
    """Return a view as the UI writes it; `place` is that in the menu, where the newest is first."""
    state = {
        "searchFilter": view.filter,
        "orderByKey": view.order,
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": list(view.columns),
        "columnOrder": [*WIDTHS, *view.columns, "duration"],
        "columnWidths": WIDTHS | {name: WIDTH for name in view.columns if _is_metric(name)},
        "runsHiddenMode": "FIRST_10_RUNS",
        "viewMaximized": False,
        "runListHidden": False,
        "isAccordionReordered": False,
        "useGroupedValuesInCharts": True,
        "hideEmptyCharts": True,
        "groupBy": None,
        "groupsExpanded": {},
    }
    packed = base64.b64encode(zlib.compress(json.dumps(state).encode())).decode()
    times = {"createdAt": len(VIEWS) - place, "updatedAt": len(VIEWS) - place}
    return json.dumps({"name": view.title, **times, "state": f"{COMPRESSED}{packed}"})


def page(experiment: str) -> str:
    """Return the address of the pipeline runs' view, below that of a server."""
    view = f"viewStateShareKey=tsn-{next(iter(VIEWS))}"
    return f"#/experiments/{experiment}/runs?workflowType=machine_learning&{view}"

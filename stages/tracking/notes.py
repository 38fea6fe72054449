"""What MLflow's UI says in words, as Markdown: of an experiment, a pipeline run, a recogniser.

What a person makes of a note in the UI stays: each is written once.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow.entities import Run as StoredRun

    from stages.reporting.results import Row
    from tsn.metrics import Accuracy
    from tsn.recogniser.card import RecogniserCard

NOTE = "mlflow.note.content"  # the tag of a run's or an experiment's description
CLASSES_SHOWN = 20
CURL = "curl http://127.0.0.1:5001/recognise -F video=@clip.mov"


def table_cell(text: str) -> str:
    """Return a text as a cell of a table has it: a class may be called `a|b`."""
    return text.replace("|", "&#124;")


def experiment_note(dataset: str) -> str:
    """Return what the experiment of a dataset holds, and where to look for what."""
    return f"""Action recognition on **{dataset}**: which question is answered where?

A row is a pipeline run, named by its recipe's digest and what that changes against the default.
Below it, at `+`, are its parts: a network for each split and modality (`split1 flow`), each split's
fusion, the recogniser.

| question | where |
|---|---|
| which recipe is better? | menu **Views**, *Pipeline runs*; tick two, **Compare** |
| which modality is best? | *Streams, best first* |
| how did two training runs go? | tick them, then the chart button above the table |
| what is mistaken for what? | *Fusions, best first*, a run, **Artifacts**, `confusion.png` |
| which commit and data made it? | *Recognisers: commit and data* |
| what is in use? | **Model registry**, `{dataset}`, the version `@champion` |

`tsn compare {dataset}` compares the challenger with the champion, video by video."""


def pipeline_note(dataset: str, rows: "Mapping[str, Row]", headline: str) -> str:
    """Return what came of a pipeline run: its rows, means over splits, and where its files are."""
    result, best = rows[headline], max(rows, key=lambda name: rows[name].mean_class_accuracy)
    spread = "" if result.spread is None else f" (± {100 * result.spread:.1f} over the splits)"
    better = "" if best == headline else f" {best} is better."
    table = "\n".join(
        f"| {name} | {100 * row.mean_class_accuracy:.1f} % |" for name, row in rows.items()
    )
    return f"""**{headline}: {100 * result.mean_class_accuracy:.1f} %** mean class accuracy\
{spread}.{better}

| | mean class accuracy |
|---|---|
{table}

The page with every figure is below **Artifacts**, `report/index.html`. The parameters are those of
`recipes/{dataset}.yaml`; the tag `changed` says which are not the default's."""


def model_note(dataset: str) -> str:
    """Return what the registered model of a dataset is, and how it is used."""
    return f"""Recognisers of **{dataset}**: a video file in, class scores out. `@champion` is the \
one in use, `@challenger` the newest, `@previous` the champion before.

```sh
tsn recognise clip.mov --model models:/{dataset}@champion
tsn serve {dataset}     # then ask it:
{CURL}
```"""


def version_note(
    card: "RecogniserCard", result: "Accuracy", test_videos: int, run: "StoredRun"
) -> str:
    """Return the card of a registered recogniser, made by that run."""
    tags = run.data.tags
    commit = tags.get("git.commit", "")[:7] or "not known: restored from the cache"
    more = len(card.classes) - CLASSES_SHOWN
    shown = [*card.classes[:CLASSES_SHOWN], *([f"{more} more"] if more > 0 else [])]
    dirty = ", with edits that are not committed" if tags.get("git.dirty") == "true" else ""
    data = [row.dataset for row in run.inputs.dataset_inputs]
    rows = {
        "what": card.description,
        "tested": f"{100 * result.mean_class_accuracy:.1f} % mean class accuracy on "
        f"{test_videos} videos of split {card.split}",
        "code": f"commit {commit}{dirty}",
        "data": ", ".join(f"{found.name} ({found.digest})" for found in data) or "not known",
        "recipe": tags.get("recipe", "not known"),
        "classes": ", ".join(shown),
    }
    table = "\n".join(f"| {name} | {table_cell(value)} |" for name, value in rows.items())
    return f"""{card.combination}: {100 * result.mean_class_accuracy:.1f} %, commit {commit}{dirty}

| | |
|---|---|
{table}

Once it is the champion, `tsn serve {card.dataset}` serves it:

```sh
{CURL}
```"""

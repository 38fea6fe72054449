"""What DVC shows of a dataset: a line of numbers, and four pictures that need no network to draw.

`dvc metrics show` and `dvc exp show` have a column for each number, so there are few; all of them
are in the metrics files of the splits. `dvc plots show` puts pictures on a page, and `dvc plots
diff` those of two revisions side by side.
"""

from pathlib import Path

from stages.reporting.figures.fusion_bars import draw_fusion_bars
from stages.reporting.figures.training_by_split import draw_training_by_split
from stages.reporting.report_figures import Cells, draw_classes, draw_confusions
from stages.reporting.results import Results
from stages.reporting.tables import read_table
from tsn.files import write_json
from tsn.scoring.scores import BASELINE

PICTURES = ACCURACY, CLASSES, CONFUSION, TRAINING = (
    "accuracy.png",
    "classes.png",
    "confusion.png",
    "training.png",
)


def numbers(found: Results) -> dict[str, float]:
    """Return the result, its top-1, and each network's and the baseline's accuracy, in percent.

    All are means over the splits, of mean class accuracy but for top-1.
    """
    headline = found.mean[found.headline]
    shown = {"result": headline.mean_class_accuracy, "top1": headline.top1}
    for name in (*found.modalities, BASELINE):
        if name in found.mean:
            shown[name] = found.mean[name].mean_class_accuracy
    return {name: round(100 * value, 2) for name, value in shown.items()}


def write(
    found: Results,
    cells: Cells,
    plots: Path,
    summary: Path,
    pictures: Path,
) -> None:
    """Write the numbers, and the pictures into their folder.

    plots: the folder of what train and fuse have written.
    """
    write_json(summary, numbers(found))
    splits = ", ".join(map(str, found.splits))
    of = f"{found.dataset}, split{'s' if len(found.splits) > 1 else ''} {splits}"
    draw_fusion_bars(found, pictures / ACCURACY)
    draw_classes(plots, found, pictures / CLASSES, f"{of}: accuracy per class")
    title = f"{of}: confusion of {found.headline}, %"
    draw_confusions(found, cells, pictures / CONFUSION, title)
    logs = {
        split: {
            name: read_table(plots / str(split) / "training" / f"{name}.csv")
            for name in found.modalities
        }
        for split in found.splits
    }
    draw_training_by_split(logs, pictures / TRAINING, f"{found.dataset}: training")

"""What UCF101 and HMDB51 cost: hours of each kind of work, three splits and all modalities.

    python benchmarks/cost.py --train 4800 --score 110 --flow 2100 --warped 900 --units 1 4 8

The rates are those that the other benchmarks measure on one unit, a GPU or a CPU of so many cores:
snippets trained and videos scored a second (`training.py` and `scoring.py --network bn_inception
--size 224`), pairs of frames a second (`extraction.py`). How much there is to do is read from the
recipes. Cells are independent, so several units take so many times less, as long as there are cells
for all of them; no more than that is assumed. The last line is JSON: hours by dataset and units.
"""

import argparse
import json
from pathlib import Path

from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[1]
FRAMES = {"ucf101": 2_400_000, "hmdb51": 640_000}  # in all videos, about
TEST_VIEWS = 250  # 25 snippets x 10 crops: what a scored video is in the benchmark
FLOWS = ("flow", "warped_flow")


def main() -> None:
    """Print a table for each dataset, then the JSON line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--train", type=float, required=True, help="snippets trained a second")
    parser.add_argument("--score", type=float, required=True, help="videos scored a second")
    parser.add_argument("--flow", type=float, required=True, help="flow, pairs a second")
    parser.add_argument("--warped", type=float, required=True, help="warped flow, pairs a second")
    parser.add_argument("--units", type=int, nargs="+", default=[1], help="GPUs or CPUs")
    arguments = parser.parse_args()
    rates = {
        "train": arguments.train,
        "score": arguments.score,
        "flow": arguments.flow,
        "warped_flow": arguments.warped,
    }
    totals: dict[str, dict[str, float]] = {}
    for dataset in FRAMES:
        hours = {kind: done / rates[kind] / 3600 for kind, done in work(dataset).items()}
        print(f"{dataset}: " + ", ".join(f"{kind} {value:.1f} h" for kind, value in hours.items()))
        totals[dataset] = {str(n): round(sum(hours.values()) / n, 2) for n in arguments.units}
        for number, value in totals[dataset].items():
            print(f"  {number:>3} units: {value:.1f} h")
    print(json.dumps(totals))


def work(dataset: str) -> dict[str, float]:
    """Return the snippets to train, the videos to score and the pairs of each flow."""
    recipe = YAML(typ="safe").load(ROOT / "recipes" / f"{dataset}.yaml")
    splits = recipe["split"]["splits"]
    trained = sum(
        row["solver"]["iterations"] * row["solver"]["batch_size"] * row["network"]["num_segments"]
        for row in recipe["train"].values()
    )
    views = recipe["score"]["snippets"] * {"ten_crop": 10}.get(recipe["score"]["crops"], 1)
    scored = sum(recipe["split"]["counts"]["test"]) * len(recipe["train"]) * views / TEST_VIEWS
    return {
        "train": float(trained * splits),
        "score": scored,
        **{name: float(FRAMES[dataset]) for name in FLOWS},
    }


if __name__ == "__main__":
    main()

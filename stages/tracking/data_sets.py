"""What runs read, as MLflow's data sets: a name, a digest of the videos, and a few counts.

The digest of a list is one of its videos' contents and labels, whatever a network is shown of them:
it is the same for every modality, and another one when a clip is added, removed, changed or moved
to another class.
"""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from stages.runtime.places import CHECKSUMS
from stages.tracking.entries import DataSet
from tsn.files import json_sha256
from tsn.lists import TEST, TRAIN, read_digests, read_list

CONTEXTS = {TRAIN: "training", TEST: "testing"}  # as MLflow's UI calls them


def listed_data(dataset: str, split: int, path: Path) -> DataSet:
    """Return the data set of a split's list of videos: `train.csv` or `test.csv`."""
    rows = read_list(path)
    checksums = path.parents[2] / CHECKSUMS if len(path.parents) > 2 else Path(CHECKSUMS)
    contents = read_digests(checksums) if checksums.is_file() else {}
    sizes = Counter(row.label for row in rows)
    return DataSet(
        name=f"{dataset} split{split} {path.stem}",
        digest=json_sha256(sorted((row.video, row.label, contents.get(row.video)) for row in rows)),
        context=CONTEXTS[path.name],
        source={"list": str(path)},
        profile={
            "videos": len(rows),
            "classes": len(sizes),
            "groups": len({row.group for row in rows}),
            "videos of the smallest class": min(sizes.values(), default=0),
            "videos of the largest class": max(sizes.values(), default=0),
        },
    )


def all_data(dataset: str, lists: Path, splits: Mapping[int, object]) -> DataSet:
    """Return the data set of a dataset's lists of these splits, together."""
    sides = {
        f"split{split} {Path(side).stem}": listed_data(dataset, split, lists / str(split) / side)
        for split in sorted(splits)
        for side in CONTEXTS
    }
    return DataSet(
        name=dataset,
        digest=json_sha256({name: data.digest for name, data in sides.items()}),
        context="all splits",
        source={"lists": str(lists)},
        profile={f"videos of {name}": data.profile["videos"] for name, data in sides.items()},
    )

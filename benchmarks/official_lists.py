"""The official lists of UCF101 and HMDB51 with a tiny clip under every real name.

    python benchmarks/official_lists.py --dataset ucf101 --lists <folder of the official lists>

Runs the recipe's `download`, `split` and `extract` (RGB) in a temporary folder, so that what is
tried is names, lists and counts: a video that is missing, listed twice or counted wrongly is an
error. Prints seconds. Only listed videos are extracted: HMDB51 has 395 that no split uses.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Make the clips, run the stages, and print a line for each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", required=True, choices=("ucf101", "hmdb51"))
    parser.add_argument("--lists", required=True, type=Path, help="folder of the official lists")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder)
        names = real_names(arguments.dataset, arguments.lists)
        write_clips(workspace / "inbox/videos", names)
        shutil.copytree(arguments.lists, workspace / "inbox/lists")
        write_recipe(workspace, arguments.dataset)
        print(f"{len(names)} names")
        for stage in ("download", "split", "extract"):
            start = time.monotonic()
            run(workspace, stage, arguments.dataset)
            print(f"{stage}: {time.monotonic() - start:.1f} s", flush=True)
        archives = sum(1 for _ in (workspace / "data/rgb").rglob("*.zip"))
        print(f"{archives} of {len(names)} videos extracted")


def real_names(dataset: str, lists: Path) -> list[str]:
    """Return `<class>/<clip>` of every video that the official lists of split 1 name."""
    if dataset == "ucf101":
        files = [lists / "trainlist01.txt", lists / "testlist01.txt"]
        lines = [line.split()[0] for file in files for line in file.read_text().splitlines()]
        return sorted({line for line in lines if line})
    suffix = "_test_split1.txt"
    return sorted(
        f"{file.name.removesuffix(suffix)}/{line.strip().rpartition(' ')[0].strip()}"
        for file in lists.glob(f"*{suffix}")
        for line in file.read_text().splitlines()
        if line.strip()
    )


def write_clips(folder: Path, names: list[str]) -> None:
    """Write a clip of six gray frames under every name, with bytes of its own: no leaks to list."""
    folder.mkdir(parents=True)
    first = folder.with_name("clip.avi")
    writer = cv2.VideoWriter(str(first), cv2.VideoWriter_fourcc(*"MJPG"), 25.0, (64, 48))
    for _ in range(6):
        writer.write(np.full((48, 64, 3), 128, dtype=np.uint8))
    writer.release()
    content = first.read_bytes()
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content + f"JUNK\x08\0\0\0{number:08d}".encode())


def write_recipe(workspace: Path, dataset: str) -> None:
    """Write the recipe with its source in the workspace's inbox and small frames."""
    yaml = YAML()
    path = workspace / f"recipes/{dataset}.yaml"
    path.parent.mkdir(exist_ok=True)
    recipe = yaml.load(ROOT / f"recipes/{dataset}.yaml")
    recipe["source"] = {"folder": {"videos": "inbox/videos", "lists": "inbox/lists"}}
    recipe["extract"]["rgb"].update(width=64, height=48)
    yaml.dump(recipe, path)
    shutil.copy(ROOT / "params.yaml", workspace)


def run(workspace: Path, stage: str, dataset: str) -> None:
    """Run a stage by its command line; end this program when it fails."""
    data = "--videos data/videos"
    lists = f"{data} --lists data/lists --checksums data/videos.csv"
    options = {
        "download": f"{lists} --additions additions/none",
        "split": f"{lists} --out data/splits",
        "extract": f"{data} --modality rgb --list data/splits/videos.txt --out data/rgb "
        "--quarantine data/quarantine.csv",
    }[stage]
    (workspace / "additions").mkdir(exist_ok=True)
    subprocess.run(
        [sys.executable, "-m", f"stages.{stage}", "--dataset", dataset, *options.split()],
        cwd=workspace,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=True,
    )


if __name__ == "__main__":
    main()

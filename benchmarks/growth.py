"""What grows with the number of videos: seconds and memory of every step, at several sizes.

    python benchmarks/growth.py [--clips 100 1000 10000] [--frames 8] [--classes 10]

For each size the commit is cloned into a temporary folder, and `dvc repro` makes one cell after the
other for that many tiny clips, each with a scene of its own: RGB frames of 64x48, one split, two
iterations of training. At last `dvc status` and `dvc repro` have nothing to do. Give several
`--frames` or `--classes` instead, with one size, to see what grows with those.

A step's seconds are those of the CPU, with all its processes; its memory is that of the largest of
them. The last line is JSON: by step, [size, seconds, MiB] of each size.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from itertools import product
from pathlib import Path

import cv2
import numpy as np
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[1]
VENV = Path(sys.prefix)
WIDTH, HEIGHT = 64, 48
CELLS = (
    *("selection", "check@growth", "download@growth", "split@growth", "extract@growth-rgb"),
    *("look@growth", "pretrain@growth", "train@growth-1-rgb", "score@growth-1-rgb"),
    *("baseline@growth-1-rgb", "fuse@growth-1", "visualise@growth-1", "report@growth"),
    "package@growth",
)
NOTHING_TO_DO = ("status", "repro")


def main() -> None:
    """Run the steps at every size, print them side by side, then the JSON line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--frames", type=int, nargs="+", default=[8], help="of each clip")
    parser.add_argument("--classes", type=int, nargs="+", default=[10])
    arguments = parser.parse_args()
    grown: dict[str, list[tuple[str, float, float]]] = {}
    for clips, frames, classes in product(arguments.clips, arguments.frames, arguments.classes):
        size = f"{clips} clips, {frames} frames, {classes} classes"
        print(size, flush=True)
        with tempfile.TemporaryDirectory() as folder:
            project = make_project(Path(folder) / "project", clips, frames, classes)
            for step, command in steps().items():
                seconds, mebibytes = measure(command, project)
                print(f"  {step:24}{seconds:9.1f} s{mebibytes:8.0f} MiB", flush=True)
                grown.setdefault(step, []).append((size, seconds, mebibytes))
    print(json.dumps(grown))


def steps() -> dict[str, list[str]]:
    """Return the arguments of `dvc` for each step."""
    cells = {cell: ["repro", "--single-item", cell] for cell in CELLS}
    return cells | {f"{name}, nothing to do": [name] for name in NOTHING_TO_DO}


def measure(arguments: list[str], project: Path) -> tuple[float, float]:
    """Return the CPU's seconds of a command of DVC, and the MiB of its largest process.

    It ends this program if it fails.
    """
    environment = {
        **os.environ,
        "PATH": f"{VENV / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(project),
        "DVC_NO_ANALYTICS": "true",
        "DVC_SITE_CACHE_DIR": str(project / ".tsn/dvc"),
    }
    with tempfile.TemporaryFile() as output:
        command = [str(VENV / "bin/dvc"), *arguments]
        process = subprocess.Popen(
            command, cwd=project, env=environment, stdout=output, stderr=output
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            output.seek(0)
            sys.exit(f"{arguments} failed:\n{output.read().decode()[-5000:]}")
    kibibytes = usage.ru_maxrss / (1024 if sys.platform == "darwin" else 1)
    return round(usage.ru_utime + usage.ru_stime, 1), round(kibibytes / 1024)


def make_project(project: Path, clips: int, frames: int, classes: int) -> Path:
    """Clone the commit, and give it the clips, their lists and a recipe."""
    subprocess.run(["git", "clone", "--quiet", ROOT, project], check=True)
    start = time.process_time()
    write_dataset(project / "inbox", clips, frames, classes)
    print(f"  {'clips written':24}{time.process_time() - start:9.1f} s", flush=True)
    yaml = YAML()
    choice = yaml.load(project / "params.yaml")
    choice.update(datasets=["growth"], splits=[1], modalities=["rgb"])
    choice["machine"].update(device="cpu", threads=1)
    yaml.dump(choice, project / "params.yaml")
    recipe = yaml.load(project / "recipes/synthetic.yaml")
    recipe["source"] = {"folder": {"videos": "inbox/videos", "lists": "inbox/lists"}}
    recipe["split"].update(splits=1)
    recipe["extract"]["rgb"].update(width=WIDTH, height=HEIGHT)
    for section in (recipe["init"]["pretext"], recipe["train"]["rgb"]):
        section["input_size"] = 32
        section["solver"].update(iterations=2, batch_size=4, micro_batch=4, lr_steps=[1])
    recipe["score"].update(snippets=1, crops="centre")
    recipe["baseline"].update(snippets=1, input_size=32)
    recipe["fusion"] = {"headline": "rgb", "combinations": {}, "learned": False}
    yaml.dump(recipe, project / "recipes/growth.yaml")
    return project


def write_dataset(folder: Path, clips: int, frames: int, classes: int) -> None:
    """Write the clips as UCF101 names them, five of a group, and its lists: every third group is
    tested."""
    train, test = [], []
    for number in range(clips):
        label, of_class = number % classes, number // classes
        group, clip = of_class // 5 + 1, of_class % 5 + 1
        video = f"Class{label:04d}/v_Class{label:04d}_g{group:05d}_c{clip:02d}.avi"
        write_clip(folder / "videos" / video, frames, number)
        if group % 3 == 1:
            test.append(video)
        else:
            train.append(f"{video} {label + 1}")
    names = [f"{label + 1} Class{label:04d}" for label in range(classes)]
    (folder / "lists").mkdir()
    for name, lines in (("classInd", names), ("trainlist01", train), ("testlist01", test)):
        (folder / "lists" / f"{name}.txt").write_text("".join(f"{line}\n" for line in lines))


def write_clip(path: Path, frames: int, seed: int) -> None:
    """Write a clip of large spots that no other clip has, and that wander."""
    path.parent.mkdir(parents=True, exist_ok=True)
    spots = np.random.default_rng(seed).integers(0, 256, (8, 10, 3), dtype=np.uint8)
    scene = cv2.resize(spots, (WIDTH + 16, HEIGHT), interpolation=cv2.INTER_CUBIC)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25.0, (WIDTH, HEIGHT))
    for frame in range(frames):
        shift = frame % 16
        writer.write(np.ascontiguousarray(scene[:, shift : shift + WIDTH]))
    writer.release()


if __name__ == "__main__":
    main()

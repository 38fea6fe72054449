"""Recognise a video by exported networks, without the project that made them.

    pip install numpy opencv-python-headless onnxruntime
    python run.py clip.mov

It takes the streams of frames (rgb, rgb_diff), and of each test snippet the crop in the middle.
"""

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import onnxruntime


def main(folder: Path, path: str) -> None:
    """Print the best classes of a video by the networks of a folder."""
    about = json.loads((folder / "recogniser.json").read_text(encoding="utf-8"))
    video, frames, scores = cv2.VideoCapture(path), [], np.zeros(len(about["classes"]))
    while (read := video.read())[0]:
        frames.append(read[1])
    rows = [row for row in about["streams"].values() if row["entries"] == "frames"]
    least = max(row["snippet_length"] for row in rows)
    if len(frames) < least:
        sys.exit(f"{path}: {len(frames)} frames can be read, a snippet takes {least}")
    for row in rows:
        length, size = row["snippet_length"], row["input_size"]
        width, height = row["made"]["width"], row["made"]["height"]
        x, y = (width - size) // 2, (height - size) // 2
        step = (len(frames) - length) // max(about["sampling"]["snippets"] - 1, 1)
        snippets = [
            [cv2.resize(frame, (width, height)) for frame in frames[start : start + length]]
            for start in np.arange(about["sampling"]["snippets"]) * step
        ]  # (S, T, H, W, 3) BGR
        cut = np.array(snippets)[:, :, y : y + size, x : x + size].transpose(0, 1, 4, 2, 3)
        network = onnxruntime.InferenceSession(folder / row["file"])
        found = network.run(None, {"snippets": cut.reshape(len(cut), -1, size, size)})[0]
        scores += row["weight"] * found.mean(axis=0)
    for label in np.argsort(-scores)[:5]:
        print(f"{scores[label]:10.4g}  {about['classes'][label]}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python run.py VIDEO")
    main(Path(__file__).parent, sys.argv[1])

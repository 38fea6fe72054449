"""The checksums that `download` writes."""

import csv
from collections.abc import Iterable
from pathlib import Path


def read_digests(checksums: Path, videos: Iterable[str]) -> dict[str, str]:
    """The SHA-256 of each of the videos, as `download` wrote them."""
    with checksums.open(newline="", encoding="utf-8") as file:
        digests = {row["video"]: row["sha256"] for row in csv.DictReader(file)}
    return {video: digests[video] for video in videos}

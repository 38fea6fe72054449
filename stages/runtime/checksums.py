"""The checksums that `download` writes."""

import csv
from pathlib import Path


def read_digests(checksums: Path) -> dict[str, str]:
    """The SHA-256 of every video."""
    with checksums.open(newline="", encoding="utf-8") as file:
        return {row["video"]: row["sha256"] for row in csv.DictReader(file)}

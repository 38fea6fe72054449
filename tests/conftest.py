"""What several tests need: one thread each, and small streams on disk, made of arrays."""

import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch  # noqa: F401 - before decord, which brings a BLAS that torch must not find first

from tsn.archives import OK, ManifestRow, archive_path, write_archive, write_manifest

Entries = npt.NDArray[np.uint8]
StreamWriter = Callable[[Path, Mapping[str, Entries]], Path]


def pytest_configure() -> None:
    """Tests share the cores with one another; on tiny inputs threads cost more than they give."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def write_stream() -> StreamWriter:
    """Writes (T, H, W, C) entries by video as a stream directory and returns it."""

    def write(folder: Path, videos: Mapping[str, Entries]) -> Path:
        rows = []
        for video, entries in videos.items():
            write_archive(archive_path(folder, video), entries, 100)
            length, height, width, _ = entries.shape
            rows.append(
                ManifestRow(
                    video=video,
                    entries=length,
                    width=width,
                    height=height,
                    status=OK,
                    reason="",
                    key=hashlib.sha256(entries.tobytes()).hexdigest(),
                )
            )
        write_manifest(rows, folder)
        return folder

    return write

"""What several tests need: one thread each, small streams on disk, the smallest training."""

import hashlib
import multiprocessing
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from prefect_server import SHARED, locked, share_folder
from small_configs import NETWORK, SOLVER
from workspace import warm

from flows.grid import cells
from flows.growth import leftovers
from flows.processes import programs
from stages.tracking import store
from tsn.lists import ListedVideo
from tsn.modality import modality
from tsn.model.settings import LearningRateMultipliers
from tsn.snippets.crops import Augmentation
from tsn.snippets.dataset import TrainingSnippets, listed_clips
from tsn.streams.archives import OK, ManifestRow, archive_path, write_archive, write_manifest
from tsn.training.settings import TrainingConfig

Entries = npt.NDArray[np.uint8]
StreamWriter = Callable[[Path, Mapping[str, Entries]], Path]


def pytest_configure(config: pytest.Config) -> None:
    """Tests share the cores: on tiny inputs threads cost more than they give. And a folder."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)  # here it is loaded already
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which `nohup make test &` ignores
    if SHARED not in os.environ:  # its processes inherit it
        config.add_cleanup(share_folder())


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
                    missing=0,
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


@pytest.fixture(scope="session")
def tiny_training() -> TrainingConfig:
    """The smallest training of a flow network that has every part of a big one."""
    return TrainingConfig(
        seed=5,
        input_size=32,
        initialisation="copied",
        network=replace(NETWORK, consensus="weighted_average", num_segments=2),
        augmentation=Augmentation(crop_scales=(1.0, 0.8), crop_positions=13, mirror=True),
        solver=replace(SOLVER, lr_steps=(1, 3)),
        lr_multipliers=LearningRateMultipliers(
            bias=2.0, first_conv_weight=5.0, first_conv_bias=10.0
        ),
    )


@pytest.fixture(scope="session")
def tiny_snippets(
    tmp_path_factory: pytest.TempPathFactory,
    write_stream: StreamWriter,
    tiny_training: TrainingConfig,
) -> TrainingSnippets:
    """The training snippets of three flow videos of 12 pairs and as many classes."""
    generator = np.random.default_rng(1)
    videos = {
        f"{name}/v.avi": generator.integers(0, 256, (12, 32, 40, 2), dtype=np.uint8)
        for name in "abc"
    }
    stream = write_stream(tmp_path_factory.mktemp("flow"), videos)
    listed = [ListedVideo(video, label, "g", ()) for label, video in enumerate(videos)]
    clips, _ = listed_clips(listed, stream, modality("flow"))
    return TrainingSnippets(
        clips,
        modality("flow"),
        num_segments=tiny_training.network.num_segments,
        input_size=tiny_training.input_size,
        augmentation=tiny_training.augmentation,
        seed=tiny_training.seed,
    )


@pytest.fixture(scope="session")
def created_database() -> bytes:
    """The bytes of a fresh MLflow database, whose tables take seconds to create.

    Made once for all processes of a test run.
    """
    created, path = (Path(os.environ[SHARED]) / name for name in ("mlflow.created", "mlflow.db"))
    with locked("mlflow.lock"):
        if not created.exists():
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{path}")
                store.connect().search_experiments()
            path.rename(created)
    return created.read_bytes()


@pytest.fixture
def mlflow_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, created_database: bytes) -> Path:
    """The folder of an empty MLflow store, which is the one in use."""
    for variable in ("TSN_TRACKING", "DVC_STAGE", *store.ENVIRONMENT):
        monkeypatch.delenv(variable, raising=False)
    (tmp_path / "mlflow.db").write_bytes(created_database)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    return tmp_path


@pytest.fixture
def warm_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """What flows start from this process starts at once; not for tests of how processes end."""
    for module in (programs, leftovers):
        monkeypatch.setattr(module, "BINARIES", warm())
    for module in (programs, cells):
        monkeypatch.setattr(module, "DVC", (str(warm() / "dvc"), *programs.DVC[1:]))


@pytest.fixture
def children_left() -> Callable[[], set[BaseProcess]]:
    """Returns the processes that the test has started and that have not ended.

    Recognisers of other tests keep their readers until they are collected.
    """
    before = set(multiprocessing.active_children())
    return lambda: set(multiprocessing.active_children()) - before

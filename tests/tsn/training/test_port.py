"""Networks of the public PyTorch port of TSN, on a real video: its scores from our whole way.

The port's network is `pretrainedmodels`' BN-Inception with a new classifier, and so are the names
of its tensors. Ours reads what was extracted; the port's input is made here as the port makes it.
"""

import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pretrainedmodels
import pytest
import torch
from encoded import encode
from small_configs import NETWORK
from torch import Tensor, nn
from videos import texture

from tsn.files import file_sha256
from tsn.lists import ListedVideo
from tsn.modality import modality
from tsn.model.initialisation import Start, initialise
from tsn.model.network import build_network
from tsn.scoring.score import ScoringProtocol, score_videos
from tsn.scoring.settings import ScoringConfig
from tsn.snippets import sampling
from tsn.snippets.dataset import Clip, ScoringSnippets, listed_clips
from tsn.streams.archives import write_manifest
from tsn.streams.extraction import ExtractionJob, extract_stream
from tsn.streams.table import STREAMS, Acceptance, FlowConfig, FramesConfig, WorkerDevice
from tsn.training.initial_weights import Checkpoint, CheckpointsConfig, weights_of_checkpoints

VIDEO, CLASSES = "a/clip.mp4", tuple("abcde")
WIDTH, HEIGHT, SIZE, SNIPPETS = 256, 240, 224, 2
PORT, CAFFE = "bn_inception_pytorch", "bn_inception"
FRAMES = FramesConfig(width=WIDTH, height=HEIGHT, jpeg_quality=90)
CONFIGS = {"frames": FRAMES, "flow": FlowConfig(**vars(FRAMES), bound=20.0, engine="dis")}


@pytest.fixture(scope="module")
def streams(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Frames and flow of a coloured scene that moves, out of an MP4 file."""
    folder = tmp_path_factory.mktemp("port")
    scene = texture(400, 300)
    shown = [scene[2 * k :, 5 * k :][:240, :320] for k in range(12)]
    encode(folder / "videos" / VIDEO, list(map(np.ascontiguousarray, shown)), "mp4", "libx264")
    return {name: extracted(folder, name, config) for name, config in CONFIGS.items()}


def extracted(folder: Path, name: str, config: FramesConfig) -> Path:
    job = ExtractionJob(
        stream=STREAMS[name],
        config=config,
        accept=Acceptance(min_frames=6, max_quarantined=0),
        videos_dir=folder / "videos",
        videos=[VIDEO],
        store_dir=folder / "store",
        devices=[WorkerDevice(name="cpu", threads=1)],
    )
    write_manifest([record.row for record in extract_stream(job, folder / name)], folder / name)
    return folder / name


def ports_input(name: str, clip: Clip) -> Tensor:
    """The centre crops (S, C, 224, 224) of the test snippets, as the port makes its input.

    Its images are of 0..255 in BGR. RGB and flow lose the mean of its settings, and of frames as
    they are it takes differences.
    """
    length, means = {"rgb": (1, [104, 117, 128]), "flow": (5, [128]), "rgb_diff": (6, [0])}[name]
    members = ("flow_x_{:05d}.jpg", "flow_y_{:05d}.jpg") if name == "flow" else ("img_{:05d}.jpg",)
    x, y = (WIDTH - SIZE) // 2, (HEIGHT - SIZE) // 2
    snippets = []
    with zipfile.ZipFile(clip.archive) as archive:
        for start in sampling.testing_starts(clip.entries, SNIPPETS, length):
            planes: list[npt.NDArray[np.float32]] = []
            for entry in range(start + 1, start + length + 1):
                for member in members:
                    data = np.frombuffer(archive.read(member.format(entry)), dtype=np.uint8)
                    image = np.atleast_3d(cv2.imdecode(data, cv2.IMREAD_UNCHANGED))
                    cut = image[y : y + SIZE, x : x + SIZE].astype(np.float32)
                    planes += [cut[..., channel] for channel in range(cut.shape[2])]
            snippets.append(np.stack(planes))
    values = np.stack(snippets)
    if name == "rgb_diff":
        values = values[:, 3:] - values[:, :-3]
    mean = np.resize(np.array(means, np.float32), values.shape[1])
    return torch.from_numpy(values - mean[:, None, None])


def ports_network(channels: int, images: Tensor) -> nn.Module:
    """The port's network, whose statistics are those of its input and no longer 0 and 1."""
    torch.manual_seed(1)
    port: nn.Module = pretrainedmodels.bninception(pretrained=None)
    port.conv1_7x7_s2 = nn.Conv2d(channels, 64, 7, stride=2, padding=3)
    port.last_linear = nn.Linear(1024, len(CLASSES))
    for layer in port.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = None  # the mean over all batches
    with torch.no_grad():
        port.train()(images)
    return port.eval()


def saved(port: Mapping[str, Tensor], path: Path) -> Path:
    """A checkpoint of the port: the classifier of its own is `new_fc`."""
    tensors = {f"module.base_model.{key}": tensor for key, tensor in port.items()}
    for kind in ("weight", "bias"):
        last = tensors.pop(f"module.base_model.last_linear.{kind}")
        tensors[f"module.new_fc.{kind}"] = last
    torch.save({"epoch": 80, "state_dict": tensors}, path)
    return path


def our_scores(name: str, clip: Clip, checkpoint: Path, row: str) -> npt.NDArray[np.float32]:
    """The scores (S, classes) of a network that starts from a checkpoint, as `score` gives them."""
    (checkpoint.parent / "classes.txt").write_text("\n".join(CLASSES))
    networks = {
        name: Checkpoint(
            path=str(checkpoint),
            sha256=file_sha256(checkpoint),
            classes=str(checkpoint.parent / "classes.txt"),
        )
    }
    config = CheckpointsConfig(backbone=row, networks=networks)
    sources = weights_of_checkpoints(config, lambda _: pytest.fail("nothing is trained"))
    network = build_network(
        replace(NETWORK, backbone=row),
        in_channels=modality(name).channels,
        num_classes=len(CLASSES),
        generator=torch.Generator().manual_seed(2),
    )
    start = Start(
        network=network, dataset="ucf101", modality=name, classes=CLASSES, sources=sources
    )
    initialise("copied", start)
    (scores,) = score_videos(
        network,
        ScoringSnippets([clip], modality(name), snippets=SNIPPETS),
        ScoringProtocol(
            config=ScoringConfig(snippets=SNIPPETS, crops="centre", batch=8), size=SIZE
        ),
        device=torch.device("cpu"),
        workers=0,
    )
    return scores


@pytest.mark.parametrize("name", ["rgb", "flow", "rgb_diff"])
def test_checkpoint_of_the_port_gives_the_ports_scores(
    streams: dict[str, Path], tmp_path: Path, name: str
) -> None:
    row = modality(name)
    (clip,), _ = listed_clips([ListedVideo(VIDEO, 0, "g", ())], streams[row.stream], row)
    images = ports_input(name, clip)
    port = ports_network(row.channels, images)
    with torch.inference_mode():
        expected = port(images).numpy()
    assert np.abs(expected[0] - expected[1]).max() > 0.01 * np.abs(expected).max()
    checkpoint = saved(port.state_dict(), tmp_path / "port.pth.tar")
    error = np.abs(our_scores(name, clip, checkpoint, PORT) - expected).max()
    assert error < 1e-4 * np.abs(expected).max()
    if name == "rgb":  # five levels of red are not lost in that
        other = np.abs(our_scores(name, clip, checkpoint, CAFFE) - expected).max()
        assert other > 1e-3 * np.abs(expected).max()

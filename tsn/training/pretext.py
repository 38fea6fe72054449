"""A generated still-image task that gives RGB weights where no ImageNet file is at hand.

The classes are (shape, hue of the background): telling them apart takes edges, textures and
colours, which is what the first layers of an ImageNet network have learned too. The weights then
start every stream, the way ImageNet weights do (paper section 3.2, cross-modality pre-training).
"""

from collections.abc import Callable
from functools import partial

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from tsn.modality import modality
from tsn.model.backbones import backbone
from tsn.snippets.normalise import normalise
from tsn.training.settings import PretextConfig
from tsn.training.solver import Training, make_optimizer

Image = npt.NDArray[np.uint8]
HUES = (0, 30, 60, 90, 120, 150)  # OpenCV's half degrees


def _disc(mask: Image, centre: tuple[int, int], radius: int, _angle: float) -> None:
    cv2.circle(mask, centre, radius, 255, -1)


def _ring(mask: Image, centre: tuple[int, int], radius: int, _angle: float) -> None:
    cv2.circle(mask, centre, max(radius * 3 // 4, 2), 255, max(radius // 2, 1))


def _polygon(points: npt.NDArray[np.float64]) -> Callable[..., None]:
    def draw(mask: Image, centre: tuple[int, int], radius: int, angle: float) -> None:
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        corners = np.round(points @ turn.T * radius + centre).astype(np.int32)
        cv2.fillPoly(mask, [corners], 255)

    return draw


def _regular(corners: int) -> npt.NDArray[np.float64]:
    angles = np.arange(corners) * 2 * np.pi / corners
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


_BAR = np.array([(-1, -0.25), (1, -0.25), (1, 0.25), (-1, 0.25)], dtype=np.float64)
_CROSS = np.array(
    [
        *((-1, -0.3), (-0.3, -0.3), (-0.3, -1), (0.3, -1), (0.3, -0.3), (1, -0.3)),
        *((1, 0.3), (0.3, 0.3), (0.3, 1), (-0.3, 1), (-0.3, 0.3), (-1, 0.3)),
    ],
    dtype=np.float64,
)
SHAPES = (_disc, _ring, *map(_polygon, (_regular(3), _regular(4), _BAR, _CROSS)))
NUM_CLASSES = len(SHAPES) * len(HUES)


class PretextImages(Dataset[tuple[Tensor, int]]):
    """Image i of an endless seeded stream: ((3, size, size) uint8 BGR, label)."""

    def __init__(self, size: int, seed: int) -> None:
        self.size = size
        self.seed = seed

    def __getitem__(self, position: int) -> tuple[Tensor, int]:
        generator = np.random.default_rng((self.seed, position))
        label = int(generator.integers(NUM_CLASSES))
        image = pretext_image(label, self.size, generator)
        return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))), label


def pretext_image(label: int, size: int, generator: np.random.Generator) -> Image:
    """Draw an image of the class: its shape, of another hue, on a textured ground of its hue."""
    shape, hue = divmod(label, len(HUES))
    ground = _textured(HUES[hue], size, generator)
    figure = _textured(HUES[hue] + int(generator.integers(30, 150)), size, generator)
    mask = np.zeros((size, size), np.uint8)
    radius = int(generator.integers(size // 5, size * 2 // 5))
    centre = generator.integers(radius, size - radius, size=2)
    SHAPES[shape](mask, (int(centre[0]), int(centre[1])), radius, generator.uniform(0, 2 * np.pi))
    return np.where(mask[..., None] > 0, figure, ground)


def _textured(hue: int, size: int, generator: np.random.Generator) -> Image:
    coarse = generator.uniform(-1, 1, (int(generator.integers(3, size // 3)),) * 2)
    noise = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)
    value = generator.uniform(90, 190) + generator.uniform(5, 30) * noise
    hsv = np.empty((size, size, 3), np.float64)
    hsv[..., 0] = (hue + generator.uniform(-8, 8)) % 180
    hsv[..., 1] = generator.uniform(60, 200)
    hsv[..., 2] = value
    image: Image = cv2.cvtColor(np.clip(hsv, 0, 255).astype(np.uint8), cv2.COLOR_HSV2BGR)
    return image


class PretextNetwork(nn.Module):
    """A backbone for RGB images with a linear classifier over the task's classes."""

    def __init__(self, name: str) -> None:
        super().__init__()
        row = backbone(name)
        self.backbone = row.build(3)
        self.classifier = nn.Linear(row.feature_dim, NUM_CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.classifier(self.backbone(images))
        return scores


def pretext_network(config: PretextConfig) -> PretextNetwork:
    """Return a freshly initialised network for the task."""
    generator = torch.Generator().manual_seed(config.seed)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(config.seed)  # for a library's own draws
        network = PretextNetwork(config.backbone)
    if (initialise := backbone(config.backbone).initialise) is not None:
        initialise(network, generator)
    nn.init.normal_(network.classifier.weight, std=0.01, generator=generator)
    nn.init.zeros_(network.classifier.bias)
    return network


def pretext_training(
    network: PretextNetwork, config: PretextConfig, *, device: torch.device, workers: int
) -> Training:
    """Return the training of a network, which is moved to the device, on the task.

    Every parameter learns at the schedule's rate, and all batch statistics are learned.
    """
    network.to(device)
    group = {"params": list(network.parameters()), "lr_mult": 1.0, "decay_mult": 1.0}
    values = backbone(config.backbone).inputs
    return Training(
        network=network,
        optimizer=make_optimizer([group], config.solver),
        solver=config.solver,
        seed=config.seed,
        stream=PretextImages(config.input_size, config.seed),
        normalise=partial(normalise, modality=modality("rgb"), inputs=values),
        device=device,
        workers=workers,
    )

"""What a network looks for in a class: activation maximisation (the paper's Figure 3).

From noise, a picture is changed until the network is as sure as can be that it shows the class. The
picture grows in octaves, from coarse to fine. It is shifted at random before every look, blurred
and faded after every step: otherwise it would be noise that only the network understands.

Letters: N class, E entry channels, C channels of a snippet, H, W.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from tsn.modality import Modality
from tsn.model.network import TemporalSegmentNetwork
from tsn.snippets.normalise import normalise

MIDDLE = 128.0  # grey, no change, no motion
SCORE_SHARE = 0.5  # of the score in what is raised, beside the logarithm of the probability


@dataclass(frozen=True, kw_only=True)
class Ascent:
    """How a picture is made; lengths are shares of the network's input, values those of 0..255.

    octaves: sides of the picture; steps: in each; starts: pictures that are begun, of which the
    best goes on after the first octave; noise: standard deviation of their beginning; rate: how far
    a step goes; fade: what it takes of every difference from the middle; blur: standard deviation
    in pixels of the picture, in an octave's first and last step; jitter: the largest shift.
    """

    octaves: tuple[float, ...]
    steps: int
    starts: int
    noise: float
    rate: float
    fade: float
    blur: tuple[float, float]
    jitter: float

    @property
    def total(self) -> int:
        """Return the steps of all octaves."""
        return self.steps * len(self.octaves)


OCTAVES = (1 / 8, 1 / 4, 1 / 2, 1.0)
OF_IMAGES = Ascent(
    octaves=OCTAVES,
    steps=20,
    starts=4,
    noise=40.0,
    rate=4.0,
    fade=0.01,
    blur=(1.0, 0.3),
    jitter=0.1,
)
# Motion and change are mostly nothing, and small where they are something.
OF_MOTION = Ascent(
    octaves=OCTAVES,
    steps=20,
    starts=3,
    noise=5.0,
    rate=1.0,
    fade=0.05,
    blur=(1.5, 0.5),
    jitter=0.1,
)


def ascent_for(modality: Modality) -> Ascent:
    """Return how pictures for a modality's network are made."""
    return OF_IMAGES if modality.centre is None else OF_MOTION


def ascend(
    network: TemporalSegmentNetwork,
    modality: Modality,
    labels: Sequence[int],
    *,
    size: int,
    ascent: Ascent,
    seed: int,
) -> Iterator[Tensor]:
    """Yield a picture for each label after every step, (N, E, size, size) in 0..255.

    The last ones are the result. A picture is a frame; of a modality with several entries, the flow
    or the difference (around the middle) that `snippets_of` repeats. The network is in evaluation
    mode, on the device that is used; its parameters stay as they are. Equal seeds give equal
    pictures, and a class has the same one whichever others are asked for.
    """
    device = next(network.parameters()).device
    generator = torch.Generator().manual_seed(seed)
    wanted = torch.tensor(labels, device=device)
    canvas = torch.empty(0)
    for octave, share in enumerate(ascent.octaves):
        side = max(round(size * share), 4)
        if octave == 0:
            shape = (ascent.starts, modality.entry_channels, side, side)
            noise = ascent.noise * torch.randn(shape, generator=generator)
            canvas = noise.repeat_interleave(len(labels), dim=0).to(device)
        targets = wanted.repeat(len(canvas) // len(labels))
        canvas = _resize(canvas, side).requires_grad_()
        optimizer = torch.optim.Adam([canvas], lr=ascent.rate, betas=(0.9, 0.99))
        for step in range(ascent.steps):
            reach = round(size * ascent.jitter)
            shift = torch.randint(-reach, reach + 1, (2,), generator=generator).tolist()
            looked_at = torch.roll(_resize(MIDDLE + canvas, size), shift, dims=(2, 3))
            aims = _aims(network, modality, looked_at, targets)
            (canvas.grad,) = torch.autograd.grad(-aims.sum(), canvas)
            optimizer.step()
            with torch.no_grad():
                low, high = ascent.blur[1], ascent.blur[0]
                canvas.mul_(1 - ascent.fade)
                canvas.copy_(_blur(canvas, high + (low - high) * step / ascent.steps))
                canvas.clamp_(-MIDDLE, 255 - MIDDLE)
                yield _resize(MIDDLE + canvas, size)[: len(labels)]
        canvas = canvas.detach()
        if octave == 0:
            canvas = _best_starts(canvas, aims, len(labels))


def snippets_of(pictures: Tensor, modality: Modality) -> Tensor:
    """Return pictures (N, E, H, W) as snippets (N, C, H, W) that `normalise` takes.

    Consecutive flow fields and differences are nearly the same, so a picture stands for all of a
    snippet: a flow field is repeated, a difference is added up to frames.
    """
    times = modality.snippet_length
    if not modality.difference:
        return pictures.repeat(1, times, 1, 1)
    change = pictures - MIDDLE
    return torch.cat([MIDDLE + time * change for time in range(times)], dim=1)


@torch.inference_mode()
def probabilities(network: TemporalSegmentNetwork, modality: Modality, pictures: Tensor) -> Tensor:
    """Return the probability (N, classes) that the network gives every class in each picture."""
    snippets = normalise(snippets_of(pictures, modality), modality, network.row.inputs)
    return network.snippet_scores(snippets).softmax(dim=1)


def _aims(
    network: TemporalSegmentNetwork, modality: Modality, pictures: Tensor, targets: Tensor
) -> Tensor:
    """Return what is raised of each picture, (N).

    The probability alone is satisfied where every other class is refuted; the score alone leaves
    what videos look like far behind.
    """
    snippets = normalise(snippets_of(pictures, modality), modality, network.row.inputs)
    scores = network.snippet_scores(snippets)
    at = targets[:, None]
    aims = scores.log_softmax(dim=1).gather(1, at) + SCORE_SHARE * scores.gather(1, at)
    return aims[:, 0]


def _best_starts(canvas: Tensor, aims: Tensor, count: int) -> Tensor:
    """Return of each class's starts, which lie `count` apart, the one that came highest."""
    best = aims.detach().view(-1, count).argmax(dim=0)
    return canvas.view(-1, count, *canvas.shape[1:])[best, torch.arange(count, device=best.device)]


def _resize(pictures: Tensor, side: int) -> Tensor:
    if pictures.shape[-1] == side:
        return pictures
    return F.interpolate(pictures, (side, side), mode="bilinear", align_corners=False)


def _blur(pictures: Tensor, sigma: float) -> Tensor:
    """Return pictures (N, E, H, W) after a Gaussian blur; the edges are mirrored."""
    channels, side = pictures.shape[1], pictures.shape[-1]
    radius = min(math.ceil(2.5 * sigma), side - 1)
    places = torch.arange(-radius, radius + 1, device=pictures.device)
    kernel = torch.exp(-(places**2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).repeat(channels, 1, 1, 1)
    padded = F.pad(pictures, (radius,) * 4, mode="reflect")
    return F.conv2d(
        F.conv2d(padded, kernel, groups=channels), kernel.transpose(2, 3), groups=channels
    )

"""What a trained network looks for in classes. Letters: N class, E entry channels, H, W."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from tsn.drawing.image import Image
from tsn.modality import Modality, modality
from tsn.model.checkpoint import ModelCard, load_model
from tsn.model.network import TemporalSegmentNetwork
from tsn.visualisation.ascent import Ascent, ascend, ascent_for, probabilities
from tsn.visualisation.views import views

SEED = 1
AT_ONCE = 12  # classes


@dataclass(frozen=True, kw_only=True)
class ClassPictures:
    """By view, a picture of each class; and the probability of it that the network gives each."""

    views: Mapping[str, Sequence[Image]]
    sure: Sequence[float]


@dataclass(frozen=True, kw_only=True)
class Visualisation:
    """Pictures of these labels that are about to be made."""

    network: TemporalSegmentNetwork
    card: ModelCard
    labels: Sequence[int]
    ascent: Ascent

    @property
    def modality(self) -> Modality:
        """Return that of the network."""
        return modality(self.card.modality)

    @property
    def total(self) -> int:
        """Return the steps to come."""
        return len(self._parts()) * self.ascent.total

    def steps(self) -> Iterator[tuple[int, Tensor]]:
        """Yield, after each step, which part of the classes it was of, and their pictures."""
        size = self.card.input_size
        for number, part in enumerate(self._parts()):
            made = ascend(
                self.network, self.modality, part, size=size, ascent=self.ascent, seed=SEED
            )
            yield from ((number, pictures) for pictures in made)

    def result(self, made: Mapping[int, Tensor]) -> ClassPictures:
        """Return the images of the pictures (N, E, H, W) that each part came to."""
        shown: dict[str, list[Image]] = {}
        sure: list[float] = []
        for number, part in enumerate(self._parts()):
            found = probabilities(self.network, self.modality, made[number])
            sure += found[range(len(part)), part].tolist()
            for picture in made[number]:
                for view, image in views(picture, self.modality).items():
                    shown.setdefault(view, []).append(image)
        return ClassPictures(views=shown, sure=sure)

    def _parts(self) -> list[Sequence[int]]:
        places = range(0, len(self.labels), AT_ONCE)
        return [self.labels[place : place + AT_ONCE] for place in places]


def prepare_visualisation(
    model: Path, classes: Sequence[str], device: torch.device
) -> Visualisation:
    """Return the pictures of these classes that the network of a model folder will be asked for.

    Raises ValueError for a class that it does not know.
    """
    network, card = load_model(model)
    if unknown := [name for name in classes if name not in card.classes]:
        raise ValueError(
            f"{model}: no class {', '.join(map(repr, unknown))}; it has: {', '.join(card.classes)}"
        )
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    network.requires_grad_(False)
    return Visualisation(
        network=network,
        card=card,
        labels=[card.classes.index(name) for name in classes],
        ascent=ascent_for(modality(card.modality)),
    )

"""Puts the training of a temporal segment network together (paper section 3.2; docs/paper.md)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from tsn.drawing.image import write_image
from tsn.drawing.input_sheet import input_sheet
from tsn.lists import read_list, read_names
from tsn.modality import Modality, modality
from tsn.model.checkpoint import (
    INIT_SIDECAR,
    ModelCard,
    initial_weights_path,
    load_initial,
)
from tsn.model.initialisation import RGB, Start, initialise
from tsn.model.network import TemporalSegmentNetwork, build_network, parameter_groups
from tsn.snippets.dataset import TrainingSnippets, listed_clips
from tsn.snippets.normalise import normalise
from tsn.streams.archives import MANIFEST
from tsn.training.data_parallel import ALONE, Share
from tsn.training.settings import TrainingConfig
from tsn.training.solver import Training, make_optimizer

DRAWN_VIDEOS = 6


@dataclass(frozen=True, kw_only=True)
class TrainingInputs:
    """Which network is trained, and the files and folders that it is made of.

    classes: class names in label order; list: the training videos; stream: what was extracted of
        them; init: the folder of the initial weights.
    """

    dataset: str
    split: int
    modality: str
    classes: Path
    list: Path
    stream: Path
    init: Path

    @property
    def name(self) -> str:
        """Return what is trained, as a file name: `synthetic-1-flow`."""
        return f"{self.dataset}-{self.split}-{self.modality}"

    @property
    def cell(self) -> dict[str, object]:
        """Return what is trained, as a part of its fingerprint."""
        return {"dataset": self.dataset, "split": self.split, "modality": self.modality}

    @property
    def files(self) -> Sequence[Path]:
        """Return the files whose content decides what is trained."""
        weights = {initial_weights_path(self.init, name) for name in (RGB, self.modality)}
        found = [path for path in (self.init / INIT_SIDECAR, *sorted(weights)) if path.is_file()]
        return [self.classes, self.list, self.stream / MANIFEST, *found]


@dataclass(frozen=True, kw_only=True)
class PreparedTraining:
    """A training that is ready to begin or to go on.

    card: that of the model to be; dropped: quarantined videos and why.
    """

    training: Training
    card: ModelCard
    snippets: TrainingSnippets
    dropped: Mapping[str, str]


def prepare_training(
    inputs: TrainingInputs,
    config: TrainingConfig,
    fingerprint: str,
    *,
    device: torch.device,
    workers: int,
    share: Share = ALONE,
    precision: str = "float32",
    compiled: bool = False,
) -> PreparedTraining:
    """Return the training of a network on the device; the same in every process of `share`.

    fingerprint: that of all that the network will be made of, for its card; compiled: whether
    PyTorch compiles the network, which takes a minute or two.
    """
    row, classes = modality(inputs.modality), read_names(inputs.classes)
    snippets, dropped = training_snippets(inputs, config)
    network = initial_network(config, row, classes, inputs)
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if compiled:
        network.compile()
    card = ModelCard(
        dataset=inputs.dataset,
        split=inputs.split,
        modality=inputs.modality,
        classes=classes,
        input_size=config.input_size,
        network=config.network,
        iterations=config.solver.iterations,
        fingerprint=fingerprint,
    )
    return PreparedTraining(
        training=network_training(
            network,
            snippets,
            config,
            device=device,
            workers=workers,
            share=share,
            precision=precision,
        ),
        card=card,
        snippets=snippets,
        dropped=dropped,
    )


def training_snippets(
    inputs: TrainingInputs, config: TrainingConfig
) -> tuple[TrainingSnippets, Mapping[str, str]]:
    """Return what is trained on, and the quarantined videos with their reasons."""
    row = modality(inputs.modality)
    clips, dropped = listed_clips(read_list(inputs.list), inputs.stream, row)
    snippets = TrainingSnippets(
        clips,
        row,
        num_segments=config.network.num_segments,
        input_size=config.input_size,
        augmentation=config.augmentation,
        seed=config.seed,
    )
    return snippets, dropped


def initial_network(
    config: TrainingConfig, row: Modality, classes: tuple[str, ...], inputs: TrainingInputs
) -> TemporalSegmentNetwork:
    """Return a new network that starts as its recipe says."""
    network = build_network(
        config.network,
        in_channels=row.channels,
        num_classes=len(classes),
        generator=torch.Generator().manual_seed(config.seed),
    )
    sources = load_initial(inputs.init, config.network.backbone)
    start = Start(
        network=network,
        dataset=inputs.dataset,
        modality=row.name,
        classes=classes,
        sources=sources,
    )
    initialise(config.initialisation, start)
    return network


def network_training(
    network: TemporalSegmentNetwork,
    snippets: TrainingSnippets,
    config: TrainingConfig,
    *,
    device: torch.device,
    workers: int,
    share: Share = ALONE,
    precision: str = "float32",
) -> Training:
    """Return the training of a network."""
    row = snippets.modality
    groups = parameter_groups(network, multipliers=config.lr_multipliers)
    return Training(
        network=network,
        optimizer=make_optimizer(groups, config.solver),
        solver=config.solver,
        seed=config.seed,
        stream=snippets,
        normalise=partial(normalise, modality=row, inputs=network.row.inputs),
        device=device,
        workers=workers,
        share=share,
        precision=precision,
    )


def draw_inputs(snippets: TrainingSnippets, path: Path) -> None:
    """Draw what the network sees of the first videos drawn: the paper's Figure 2."""
    videos = torch.stack([snippets[position][0] for position in range(DRAWN_VIDEOS)])
    scale = max(1, 112 // snippets.input_size)
    write_image(path, input_sheet(videos, snippets.modality, scale))

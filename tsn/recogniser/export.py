"""A recogniser's networks as ONNX, for programs without this project.

    recogniser.json   classes, sampling, and of each stream its file, input and weight
    <modality>.onnx   scores (N, C) before softmax of the cut snippets (N, C, H, W), uint8
    run.py            recognises a video by the streams of frames, with OpenCV and onnxruntime; not
                      there without such a stream

A network's file normalises its input itself. Letters: N snippet, C class or channel, H, W.
"""

import logging
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tsn.files import atomic_path, file_sha256, write_json
from tsn.modality import Modality, modality
from tsn.model.backbone import InputValues
from tsn.model.checkpoint import load_model
from tsn.model.network import TemporalSegmentNetwork
from tsn.recogniser.card import CARD, TEST_SCORES, Member, RecogniserCard
from tsn.recogniser.folder import load_recogniser_card
from tsn.recogniser.recogniser import narrowed
from tsn.snippets.normalise import normalise

FORMAT = 1
SCRIPT, RUN = Path(__file__).with_name("run_exported.py"), "run.py"
PACKAGES = ("onnx", "onnxscript", "onnxruntime")
TOLERANCE = 1e-4  # between the scores of both, as a share of the largest where that is above 1
CHECKED = (1, 3)  # snippets at once


def missing_packages() -> list[str]:
    """Return which of the packages that an export takes are not installed."""
    return [name for name in PACKAGES if find_spec(name) is None]


def export_streams(
    folder: Path, out: Path, modalities: Sequence[str] = ()
) -> Iterator[tuple[str, float]]:
    """Export the recogniser of a folder, and yield each stream with its greatest difference.

    modalities: those to export, all unless some are named. recogniser.json is written last: without
    it there is no export. Raises ValueError for a modality that the recogniser has not, for a
    package that is not installed, for the folder of a recogniser as `out`, whose card that would
    replace, and for an ONNX network that gives other scores; else as `load_recogniser` does.
    """
    if missing := missing_packages():
        raise ValueError(
            f"an export takes {' and '.join(missing)}: pip install {' '.join(missing)}"
        )
    if (out / TEST_SCORES).exists():
        raise ValueError(f"{out}: a recogniser is there; export to another folder")
    card = narrowed(load_recogniser_card(folder), modalities)
    (out / CARD).unlink(missing_ok=True)
    streams = {}
    for member in card.members:
        name, path = member.modality, out / f"{member.modality}.onnx"
        network, sidecar = load_model(folder / name)
        exported = ExportedNetwork(network, modality(name))
        snippets = _made_up(exported, max(CHECKED), sidecar.input_size)
        with atomic_path(path) as temporary:
            write_onnx(exported, snippets, temporary)
            difference = greatest_difference(exported, snippets, temporary)
        streams[name] = _describe(member, network.row.inputs, sidecar.input_size, path)
        yield name, difference
    (out / RUN).unlink(missing_ok=True)
    if any(row["entries"] == "frames" for row in streams.values()):
        with atomic_path(out / RUN) as temporary:
            shutil.copyfile(SCRIPT, temporary)
    write_json(out / CARD, _content(card, streams))


class ExportedNetwork(nn.Module):
    """A network behind its normalisation: uint8 snippets in, their scores before softmax out."""

    def __init__(self, network: TemporalSegmentNetwork, row: Modality) -> None:
        super().__init__()
        self.network, self.row = network, row
        self.eval()

    @property
    def channels(self) -> int:
        """Return the channels of a cut snippet, before differences are taken."""
        return self.row.snippet_length * self.row.entry_channels

    def forward(self, snippets: Tensor) -> Tensor:
        """Return scores (N, C) of snippets (N, C, H, W)."""
        return self.network.snippet_scores(normalise(snippets, self.row, self.network.row.inputs))


def write_onnx(network: ExportedNetwork, snippets: Tensor, path: Path) -> None:
    """Write a network as ONNX, for any number of snippets of the size of those given."""
    with torch.no_grad(), _quiet():
        network(snippets[:1])  # keeps what is made by the first call out of the graph
        program = torch.onnx.export(
            network,
            (snippets,),
            dynamo=True,
            verbose=False,
            input_names=["snippets"],
            output_names=["scores"],
            dynamic_shapes=({0: torch.export.Dim("snippets", min=1)},),
        )
    assert program is not None
    program.save(path)


def greatest_difference(network: ExportedNetwork, snippets: Tensor, path: Path) -> float:
    """Return by how much the scores of an ONNX file and of its network differ.

    ValueError when that is more than rounding: TOLERANCE, times the largest score above 1.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    worst = 0.0
    for count in CHECKED:
        with torch.no_grad():
            expected = network(snippets[:count]).numpy()
        (found,) = session.run(None, {"snippets": snippets[:count].numpy()})
        difference = float(np.abs(found - expected).max())
        if not difference <= TOLERANCE * max(1.0, float(np.abs(expected).max())):
            raise ValueError(
                f"{network.row.name}: the scores of the ONNX network differ by {difference:.3g} "
                "from those of the recogniser; nothing was exported"
            )
        worst = max(worst, difference)
    return worst


def _made_up(network: ExportedNetwork, count: int, size: int) -> Tensor:
    shape = (count, network.channels, size, size)
    return torch.randint(256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def _describe(member: Member, inputs: InputValues, size: int, path: Path) -> dict[str, Any]:
    """Return what a program has to know of a stream, and what its network does by itself."""
    row = modality(member.modality)
    return {
        "file": path.name,
        "sha256": file_sha256(path),
        "weight": member.weight,
        "entries": row.stream,
        "made": asdict(member.stream),
        "snippet_length": row.snippet_length,
        "entry_channels": ["x", "y"] if row.entry_channels == 2 else ["b", "g", "r"],
        "input_size": size,
        "inverted_when_mirrored": list(row.inverted_when_mirrored),
        "normalised_in_the_network": {
            "differences": row.difference,
            "centre": row.centre,
            **asdict(inputs),
        },
    }


def _content(card: RecogniserCard, streams: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "dataset": card.dataset,
        "recogniser": card.fingerprint,
        "classes": card.classes,
        "calibration": card.calibration and asdict(card.calibration),
        "sampling": {"snippets": card.testing.snippets, "crops": card.testing.crops},
        "streams": streams,
    }


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out what the exporter says of its own versions."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)

"""The four input modalities of the paper (section 3.2, Figure 2), one row of a table each."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Modality:
    """How a snippet of this modality is read and prepared.

    stream: which extracted stream holds its entries.
    snippet_length: consecutive entries read per snippet.
    entry_channels: channels of one entry (3 for a BGR frame, 2 for a flow field).
    difference: whether the network sees differences of consecutive entries instead of entries.
    inverted_when_mirrored: entry channels whose value v becomes 255 - v in a mirrored snippet.
    centre: what stands for nothing (no motion, no change) and becomes 0 as the network's input;
        None for images, which are centred at the mean that the backbone was trained with.
    """

    name: str
    stream: str
    snippet_length: int
    entry_channels: int
    difference: bool
    inverted_when_mirrored: tuple[int, ...]
    centre: float | None

    @property
    def channels(self) -> int:
        """Return the channels of the network's input."""
        return (self.snippet_length - self.difference) * self.entry_channels


def _flow(name: str) -> Modality:
    return Modality(
        name=name,
        stream=name,
        snippet_length=5,
        entry_channels=2,
        difference=False,
        inverted_when_mirrored=(0,),
        centre=128.0,
    )


MODALITIES = {
    row.name: row
    for row in (
        Modality(
            name="rgb",
            stream="frames",
            snippet_length=1,
            entry_channels=3,
            difference=False,
            inverted_when_mirrored=(),
            centre=None,
        ),
        Modality(
            name="rgb_diff",
            stream="frames",
            snippet_length=6,
            entry_channels=3,
            difference=True,
            inverted_when_mirrored=(),
            centre=0.0,
        ),
        _flow("flow"),
        _flow("warped_flow"),
    )
}


def modality(name: str) -> Modality:
    """Return the row of that name. Raises ValueError with the valid ones."""
    if name not in MODALITIES:
        raise ValueError(f"unknown modality {name!r}; one of: {', '.join(MODALITIES)}")
    return MODALITIES[name]

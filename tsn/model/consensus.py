"""The closed table of segmental consensus functions: snippet scores to video scores.

Average, max and the weighted average are the ECCV paper's (section 3.1), the top k and attention
the journal version's. `top:k` takes its k from the name. Testing takes the mean over its many
snippets, whatever the consensus of the training (tsn.scoring.score, docs/networks.md).
PyTorch is loaded when one is made.
"""

from functools import partial
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from tsn.model.consensus_layers import Consensus

MAX_SEGMENTS = 1000
TOP = "top:"  # and how many


class Row(Protocol):
    """What makes a consensus of K segments and D features: a layer's class, for example."""

    def __call__(self, num_segments: int, feature_dim: int) -> "Consensus": ...


def _layer(class_name: str, num_segments: int, feature_dim: int) -> "Consensus":
    from tsn.model import consensus_layers

    made: Consensus = getattr(consensus_layers, class_name)(num_segments, feature_dim)
    return made


CONSENSUS: dict[str, Row] = {
    "average": partial(_layer, "AverageConsensus"),
    "max": partial(_layer, "MaxConsensus"),
    "weighted_average": partial(_layer, "WeightedAverageConsensus"),
    "attention": partial(_layer, "AttentionConsensus"),
}


def consensus(name: str, num_segments: int, feature_dim: int) -> "Consensus":
    """Return a consensus over `num_segments`. Raises ValueError as `check_consensus` does."""
    check_consensus(name, num_segments)
    if (k := _top(name)) is None:
        return CONSENSUS[name](num_segments, feature_dim)
    from tsn.model.consensus_layers import TopConsensus

    return TopConsensus(num_segments, feature_dim, k=k)


def check_consensus(name: str, num_segments: int) -> None:
    """Raise ValueError, naming the valid ones, unless there is such a consensus of K segments."""
    k = _top(name)
    if k is None and name not in CONSENSUS:
        valid = ", ".join([*CONSENSUS, f"{TOP}<number>"])
        raise ValueError(f"unknown consensus {name!r}; valid are: {valid}")
    if not 1 <= num_segments <= MAX_SEGMENTS:
        raise ValueError(f"num_segments must be 1 to {MAX_SEGMENTS}, got {num_segments}")
    if k is not None and not 1 <= k <= num_segments:
        raise ValueError(f"{name} of {num_segments} segments; it takes 1 to {num_segments}")


def _top(name: str) -> int | None:
    """Return k of `top:k`; None for another name."""
    count = name.removeprefix(TOP)
    is_top = name.startswith(TOP) and count.isascii() and count.isdecimal()
    return int(count) if is_top else None

"""The closed table of segmental consensus functions (section 3.1): snippet scores to video scores.

Testing takes the mean over its many snippets, whatever the consensus of the training
(tsn.scoring.score).
Letters: B videos, K segments, C classes.
"""

import torch
from torch import Tensor, nn

MAX_SEGMENTS = 1000


class Consensus(nn.Module):
    """What combines the snippet scores of a video in training, class by class."""

    def __init__(self, num_segments: int) -> None:
        super().__init__()
        if not 1 <= num_segments <= MAX_SEGMENTS:
            raise ValueError(f"num_segments must be 1 to {MAX_SEGMENTS}, got {num_segments}")
        self.num_segments = num_segments

    def forward(self, scores: Tensor) -> Tensor:
        """Return video scores (B, C) of scores (B, K, C); raises ValueError for another K."""
        if scores.ndim != 3 or scores.shape[1] != self.num_segments:
            raise ValueError(
                f"expected snippet scores (B, {self.num_segments}, C), got {tuple(scores.shape)}"
            )
        return self.aggregate(scores)

    def aggregate(self, scores: Tensor) -> Tensor:
        """Return the consensus itself, of scores of the right shape."""
        raise NotImplementedError


class AverageConsensus(Consensus):
    """The mean of the snippet scores."""

    def aggregate(self, scores: Tensor) -> Tensor:
        return scores.mean(dim=1)


class MaxConsensus(Consensus):
    """The largest snippet score of each class; only that snippet receives the gradient."""

    def aggregate(self, scores: Tensor) -> Tensor:
        return scores.max(dim=1).values


class WeightedAverageConsensus(Consensus):
    """A weighted mean: the weights are the softmax of a learned logit per segment, 0 at first."""

    def __init__(self, num_segments: int) -> None:
        super().__init__(num_segments)
        self.logits = nn.Parameter(torch.zeros(num_segments))

    def aggregate(self, scores: Tensor) -> Tensor:
        return torch.einsum("k,bkc->bc", self.logits.softmax(dim=0), scores)


CONSENSUS: dict[str, type[Consensus]] = {
    "average": AverageConsensus,
    "max": MaxConsensus,
    "weighted_average": WeightedAverageConsensus,
}


def consensus(name: str, num_segments: int) -> Consensus:
    """Return a consensus function over `num_segments`. Raises ValueError naming the valid ones."""
    if name not in CONSENSUS:
        raise ValueError(f"unknown consensus {name!r}; valid are: {', '.join(CONSENSUS)}")
    return CONSENSUS[name](num_segments)

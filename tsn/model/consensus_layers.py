"""The segmental consensus functions, as layers (tsn.model.consensus has their names).

Letters: B videos, K segments, C classes, D features of a snippet.
"""

import torch
from torch import Tensor, nn


class Consensus(nn.Module):
    """What combines the snippet scores of a video in training, class by class.

    A row that needs the scores alone has `aggregate`; one that looks at the snippets' features,
    too, has `combine` in its place. `feature_dim` is D.
    """

    def __init__(self, num_segments: int, feature_dim: int) -> None:
        super().__init__()
        self.num_segments = num_segments
        self.feature_dim = feature_dim

    def forward(self, scores: Tensor, features: Tensor) -> Tensor:
        """Return video scores (B, C) of scores (B, K, C) and the features (B, K, D) they are of.

        Raises ValueError for another K or D.
        """
        if scores.ndim != 3 or scores.shape[1] != self.num_segments:
            raise ValueError(
                f"expected snippet scores (B, {self.num_segments}, C), got {tuple(scores.shape)}"
            )
        expected = (*scores.shape[:2], self.feature_dim)
        if features.shape != expected:
            raise ValueError(f"expected features {expected}, got {tuple(features.shape)}")
        return self.combine(scores, features)

    def combine(self, scores: Tensor, features: Tensor) -> Tensor:  # noqa: ARG002
        """Return the consensus of scores and features of the right shapes."""
        return self.aggregate(scores)

    def aggregate(self, scores: Tensor) -> Tensor:
        """Return the consensus of scores of the right shape."""
        raise NotImplementedError


class AverageConsensus(Consensus):
    """The mean of the snippet scores."""

    def aggregate(self, scores: Tensor) -> Tensor:
        return scores.mean(dim=1)


class MaxConsensus(Consensus):
    """The largest snippet score of each class; only that snippet receives the gradient."""

    def aggregate(self, scores: Tensor) -> Tensor:
        return scores.max(dim=1).values


class TopConsensus(Consensus):
    """The mean of the k largest snippet scores of each class, which alone receive the gradient."""

    def __init__(self, num_segments: int, feature_dim: int, *, k: int) -> None:
        super().__init__(num_segments, feature_dim)
        self.k = k

    def aggregate(self, scores: Tensor) -> Tensor:
        return scores.topk(self.k, dim=1).values.mean(dim=1)


class WeightedAverageConsensus(Consensus):
    """The mean of the scores, each times a learned factor of its segment, 1 at first.

    Nothing holds the factors to a mean of 1, or above 0. The journal version calls it linear
    weighting, with w_k = factor / K: a step of SGD would change that w_k by K^2 times as much of
    itself, and a rate that suits the network would throw it about.
    """

    def __init__(self, num_segments: int, feature_dim: int) -> None:
        super().__init__(num_segments, feature_dim)
        self.factors = nn.Parameter(torch.ones(num_segments))

    def aggregate(self, scores: Tensor) -> Tensor:
        return torch.einsum("k,bkc->bc", self.factors / self.num_segments, scores)


class AttentionConsensus(Consensus):
    """A mean whose weights each video has for itself: softmax over its snippets of a product.

    That is w . features / sqrt(D), of the backbone's features before dropout. w is learned, and 0
    at first: the plain mean. Without the root a step of SGD changes the product by D times as much,
    and soon one snippet has all the weight (Vaswani et al., 2017, section 3.2.1).
    """

    def __init__(self, num_segments: int, feature_dim: int) -> None:
        super().__init__(num_segments, feature_dim)
        self.attention = nn.Parameter(torch.zeros(feature_dim))

    def combine(self, scores: Tensor, features: Tensor) -> Tensor:
        products = features @ self.attention / self.feature_dim**0.5
        weights = products.softmax(dim=1)  # (B, K)
        return torch.einsum("bk,bkc->bc", weights, scores)

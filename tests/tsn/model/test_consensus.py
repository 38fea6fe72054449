import pytest
import torch
from torch import Tensor

from tsn.model.consensus import CONSENSUS, consensus
from tsn.model.consensus_layers import AttentionConsensus, WeightedAverageConsensus

# One video, three segments, two classes.
SCORES = torch.tensor([[[1.0, 6.0], [2.0, 0.0], [6.0, 3.0]]])


# Two features of each of its snippets.
FEATURES = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]])


def result_of(name: str, scores: Tensor = SCORES) -> Tensor:
    result: Tensor = consensus(name, 3, 2)(scores, FEATURES)
    return result


def weighted(weights: list[float]) -> WeightedAverageConsensus:
    function = WeightedAverageConsensus(len(weights), 2)
    with torch.no_grad():
        function.factors.copy_(len(weights) * torch.tensor(weights))
    return function


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("average", [[3.0, 3.0]]),
        ("max", [[6.0, 6.0]]),
        ("top:1", [[6.0, 6.0]]),
        ("top:2", [[4.0, 4.5]]),
        ("top:3", [[3.0, 3.0]]),
        ("weighted_average", [[3.0, 3.0]]),
        ("attention", [[3.0, 3.0]]),
    ],
)
def test_consensus_at_the_start(name: str, expected: list[list[float]]) -> None:
    torch.testing.assert_close(result_of(name), torch.tensor(expected))


def test_weighted_average_with_free_weights() -> None:
    # 2 * 1 - 1 * 2 + 0.5 * 6 and 2 * 6 - 1 * 0 + 0.5 * 3
    result = weighted([2.0, -1.0, 0.5])(SCORES, FEATURES)
    torch.testing.assert_close(result, torch.tensor([[3.0, 13.5]]))


def test_attention_with_a_learned_product() -> None:
    function = AttentionConsensus(3, 2)
    with torch.no_grad():
        function.attention.copy_(2**0.5 * torch.tensor([2.0, 1.0]).log())
    # w . features / sqrt(2) = log 2, log 1, log 2: weights 2/5, 1/5, 2/5
    result = function(SCORES, FEATURES)
    torch.testing.assert_close(result, torch.tensor([[16 / 5, 18 / 5]]))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("average", [[1 / 3, 1 / 3], [1 / 3, 1 / 3], [1 / 3, 1 / 3]]),
        ("max", [[0.0, 1.0], [0.0, 0.0], [1.0, 0.0]]),
        ("top:2", [[0.0, 0.5], [0.5, 0.0], [0.5, 0.5]]),
        ("weighted_average", [[1 / 3, 1 / 3], [1 / 3, 1 / 3], [1 / 3, 1 / 3]]),
        ("attention", [[1 / 3, 1 / 3], [1 / 3, 1 / 3], [1 / 3, 1 / 3]]),
    ],
)
def test_gradient_reaches(name: str, expected: list[list[float]]) -> None:
    scores = SCORES.clone().requires_grad_()
    result_of(name, scores).sum().backward()
    torch.testing.assert_close(scores.grad, torch.tensor([expected]))


def test_max_gives_a_tie_to_one_snippet() -> None:
    scores = torch.ones(1, 3, 1, requires_grad=True)
    result_of("max", scores).sum().backward()
    assert scores.grad is not None
    assert sorted(scores.grad.flatten().tolist()) == [0.0, 0.0, 1.0]


def test_weighted_average_learns_each_weight_by_its_scores() -> None:
    function = weighted([1 / 3] * 3)
    function(SCORES, FEATURES).sum().backward()
    # d/df_k of sum_k f_k (s_k of one class + s_k of the other) / 3
    torch.testing.assert_close(function.factors.grad, torch.tensor([7.0, 2.0, 9.0]) / 3)


def test_attention_learns_towards_the_features_of_the_better_snippets() -> None:
    function = AttentionConsensus(3, 2)
    features = FEATURES.clone().requires_grad_()
    function(SCORES[..., :1], features).sum().backward()
    # d/de_k = a_k (s_k - mean) = -2/3, -1/3, 1, and de_k/dw = features k / sqrt(2)
    torch.testing.assert_close(function.attention.grad, torch.tensor([1 / 3, 2 / 3]) / 2**0.5)
    assert features.grad is not None  # times w, which is 0 at the start
    assert not features.grad.any()
    with torch.no_grad():
        function.attention.copy_(2**0.5 * torch.tensor([2.0, 1.0]).log())
    function(SCORES[..., :1], features).sum().backward()
    # a = 2/5, 1/5, 2/5; mean 16/5; a_k (s_k - mean) = -22/25, -6/25, 28/25,
    # times w / sqrt(2) = log 2, 0
    by_hand = torch.tensor([-22 / 25, -6 / 25, 28 / 25]) * torch.tensor(2.0).log()
    torch.testing.assert_close(features.grad[0, :, 0], by_hand)


@pytest.mark.parametrize("name", [*CONSENSUS, "top:2"])
@pytest.mark.parametrize("shape", [(2, 4, 5), (3, 5)])
def test_other_number_of_segments_is_refused(name: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected snippet scores \(B, 3, C\), got"):
        consensus(name, 3, 2)(torch.zeros(shape), FEATURES)


def test_features_of_other_snippets_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected features \(1, 3, 7\), got \(1, 3, 2\)"):
        consensus("average", 3, 7)(SCORES, FEATURES)


def test_unknown_name_and_bad_number_are_refused() -> None:
    names = r"'mean'; valid are: average, max, weighted_average, attention, top:<number>"
    with pytest.raises(ValueError, match=names):
        consensus("mean", 3, 2)
    for name in ("top", "top:", "top:two", "top:-1"):
        with pytest.raises(ValueError, match=f"unknown consensus '{name}'"):
            consensus(name, 3, 2)
    for name in ("top:0", "top:4"):
        with pytest.raises(ValueError, match=f"{name} of 3 segments; it takes 1 to 3"):
            consensus(name, 3, 2)
    with pytest.raises(ValueError, match="num_segments must be 1 to 1000, got 0"):
        consensus("average", 0, 2)

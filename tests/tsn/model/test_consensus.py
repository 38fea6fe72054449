import pytest
import torch

from tsn.model.consensus import CONSENSUS, WeightedAverageConsensus, consensus

# One video, three segments, two classes.
SCORES = torch.tensor([[[1.0, 6.0], [2.0, 0.0], [6.0, 3.0]]])


def weighted(weights: list[float]) -> WeightedAverageConsensus:
    function = WeightedAverageConsensus(len(weights))
    with torch.no_grad():
        function.logits.copy_(torch.tensor(weights).log())
    return function


@pytest.mark.parametrize(
    ("name", "expected"),
    [("average", [[3.0, 3.0]]), ("max", [[6.0, 6.0]]), ("weighted_average", [[3.0, 3.0]])],
)
def test_consensus_at_the_start(name: str, expected: list[list[float]]) -> None:
    result = consensus(name, 3)(SCORES)
    torch.testing.assert_close(result, torch.tensor(expected))


def test_weighted_average_with_learned_weights() -> None:
    # 0.5 * 1 + 0.25 * 2 + 0.25 * 6 and 0.5 * 6 + 0.25 * 0 + 0.25 * 3
    result = weighted([2.0, 1.0, 1.0])(SCORES)
    torch.testing.assert_close(result, torch.tensor([[2.5, 3.75]]))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("average", [[1 / 3, 1 / 3], [1 / 3, 1 / 3], [1 / 3, 1 / 3]]),
        ("max", [[0.0, 1.0], [0.0, 0.0], [1.0, 0.0]]),
    ],
)
def test_gradient_reaches(name: str, expected: list[list[float]]) -> None:
    scores = SCORES.clone().requires_grad_()
    consensus(name, 3)(scores).sum().backward()
    torch.testing.assert_close(scores.grad, torch.tensor([expected]))


def test_max_gives_a_tie_to_one_snippet() -> None:
    scores = torch.ones(1, 3, 1, requires_grad=True)
    consensus("max", 3)(scores).sum().backward()
    assert scores.grad is not None
    assert sorted(scores.grad.flatten().tolist()) == [0.0, 0.0, 1.0]


def test_weighted_average_learns_towards_the_better_segment() -> None:
    function = WeightedAverageConsensus(3)
    function(SCORES[..., :1]).sum().backward()
    # d/dlogit_k of sum_k w_k s_k = w_k (s_k - mean), at w = 1/3, s = 1, 2, 6, mean 3
    expected = torch.tensor([-2 / 3, -1 / 3, 1.0])
    torch.testing.assert_close(function.logits.grad, expected)


@pytest.mark.parametrize("name", CONSENSUS)
@pytest.mark.parametrize("shape", [(2, 4, 5), (3, 5)])
def test_other_number_of_segments_is_refused(name: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected snippet scores \(B, 3, C\), got"):
        consensus(name, 3)(torch.zeros(shape))


def test_unknown_name_and_bad_number_are_refused() -> None:
    with pytest.raises(ValueError, match=r"'mean'; valid are: average, max, weighted_average"):
        consensus("mean", 3)
    with pytest.raises(ValueError, match="num_segments must be 1 to 1000, got 0"):
        consensus("average", 0)

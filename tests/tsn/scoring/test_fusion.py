"""Late fusion: sums of scores before softmax, of the same videos only."""

from dataclasses import replace

import numpy as np
import pytest

from tsn.scoring.fusion import FusionConfig, describe_row, fuse, refuse_other_scores
from tsn.scoring.scores import ScoreError, VideoScores


def scores_of(modality: str, scores: list[list[float]]) -> VideoScores:
    values = np.array(scores, dtype=np.float32)
    videos, classes = values.shape
    return VideoScores(
        dataset="synthetic",
        split=1,
        modality=modality,
        model="m",
        fingerprint="f",
        classes=tuple(f"C{i}" for i in range(classes)),
        videos=tuple(f"C0/v{i}.avi" for i in range(videos)),
        labels=np.zeros(videos, np.int64),
        snippets=values[:, None],
        scores=values,
    )


def softmax(scores: np.ndarray) -> np.ndarray:
    exponents = np.exp(scores)
    return exponents / exponents.sum(axis=1, keepdims=True)


def test_weighted_sum_by_hand() -> None:
    cells = {
        "rgb": scores_of("rgb", [[1, 2], [3, 4]]),
        "flow": scores_of("flow", [[10, 20], [-2, 0]]),
        "warped_flow": scores_of("warped_flow", [[100, 100], [100, 100]]),
    }
    assert fuse(cells, {"rgb": 1.0, "flow": 1.5}).tolist() == [[16, 32], [0, 4]]
    assert fuse(cells, {"rgb": 1.0, "flow": 1.0, "warped_flow": 0.5}).tolist() == [
        [61, 72],
        [51, 54],
    ]


def test_scores_are_fused_before_softmax() -> None:
    """Here adding probabilities would make class 0 win, adding scores makes class 1 win."""
    rgb, flow = scores_of("rgb", [[10, 8, 0]]), scores_of("flow", [[0, 3, 3.1]])
    assert (softmax(rgb.scores) + softmax(flow.scores)).argmax() == 0
    assert fuse({"rgb": rgb, "flow": flow}, {"rgb": 1.0, "flow": 1.0}).argmax() == 1


def test_order_of_the_weights_changes_no_winner() -> None:
    generator = np.random.default_rng(1)
    cells = {name: scores_of(name, generator.normal(size=(50, 5))) for name in ("rgb", "flow")}
    one = fuse(cells, {"rgb": 1.0, "flow": 1.5})
    other = fuse(cells, {"flow": 1.5, "rgb": 1.0})
    np.testing.assert_allclose(one, other, rtol=1e-6)
    assert one.dtype == np.float32


def test_missing_modality_is_refused() -> None:
    with pytest.raises(ScoreError, match="needs scores of flow; there are: rgb"):
        fuse({"rgb": scores_of("rgb", [[1, 2]])}, {"rgb": 1.0, "flow": 1.5})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dataset": "ucf101"}, "flow are of another dataset.*'ucf101' against 'synthetic'"),
        ({"split": 2}, "flow are of another split than those of rgb: 2 against 1"),
        ({"classes": ("C1", "C0")}, "another classes"),
        ({"videos": ("C0/other.avi",)}, "another videos"),
        ({"labels": np.array([1])}, "scored with other labels"),
    ],
)
def test_scores_of_other_cells_are_refused(change: dict[str, object], message: str) -> None:
    rgb, flow = scores_of("rgb", [[1, 2]]), scores_of("flow", [[1, 2]])
    refuse_other_scores(flow, rgb)
    foreign = replace(flow, **change)
    with pytest.raises(ScoreError, match=message):
        fuse({"rgb": rgb, "flow": foreign}, {"rgb": 1.0, "flow": 1.5})


def test_modalities_outside_the_combination_do_not_matter() -> None:
    rgb, flow = scores_of("rgb", [[1, 2]]), scores_of("flow", [[1, 2]])
    foreign = replace(scores_of("rgb_diff", [[9, 9]]), split=3)
    cells = {"rgb": rgb, "flow": flow, "rgb_diff": foreign}
    assert fuse(cells, {"rgb": 1.0, "flow": 1.0}).tolist() == [[2, 4]]


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"rgb": 1.0}, "'both' fuses at least two modalities"),
        ({"rgb": 1.0, "depth": 1.0}, "unknown modality 'depth'; one of: rgb"),
        ({"rgb": 1.0, "flow": 0.0}, "the weight of flow is 0.0"),
        ({"rgb": 1.0, "flow": -1.0}, "the weight of flow is -1.0"),
    ],
)
def test_bad_combinations_are_refused(weights: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FusionConfig(headline="both", combinations={"both": weights}, learned=False)


@pytest.mark.parametrize(
    ("headline", "names", "message"),
    [
        ("flow", ["rgb"], "combination 'rgb' has a name that is taken"),
        ("flow", ["class"], "combination 'class' has a name that is taken"),
        ("flow", ["rgb+flow"], "'rgb.flow': a name is of letters, digits and _ only"),
        ("both", ["two"], "headline 'both' is no combination .two. and no modality .rgb, rgb_diff"),
    ],
)
def test_names_that_cannot_be_rows_are_refused(
    headline: str, names: list[str], message: str
) -> None:
    weights = {"rgb": 1.0, "flow": 1.0}
    with pytest.raises(ValueError, match=message):
        FusionConfig(headline=headline, combinations=dict.fromkeys(names, weights), learned=False)


TABLE = FusionConfig(
    headline="three",
    combinations={
        "frames": {"rgb": 1.0, "rgb_diff": 1.0},
        "two": {"rgb": 1.0, "flow": 1.0},
        "two_flow_1_5": {"rgb": 1.0, "flow": 1.5},
        "three": {"rgb": 1.0, "flow": 1.0, "warped_flow": 0.5},
    },
    learned=False,
)


@pytest.mark.parametrize(
    ("modalities", "rows", "others", "headline"),
    [
        (
            ("rgb", "rgb_diff", "flow", "warped_flow"),
            ["frames", "two", "two_flow_1_5", "three"],
            [],
            "three",
        ),
        (
            ("rgb", "rgb_diff", "flow"),
            ["frames", "two", "two_flow_1_5"],
            ["three"],
            "frames",
        ),
        (("flow", "rgb"), ["two", "two_flow_1_5"], ["frames", "three"], "two"),
        (("flow",), [], ["frames", "two", "two_flow_1_5", "three"], "flow"),
    ],
)
def test_what_is_fused_without_some_modalities(
    modalities: tuple[str, ...], rows: list[str], others: list[str], headline: str
) -> None:
    assert list(TABLE.runnable(modalities)) == rows
    assert list(TABLE.not_run(modalities)) == others
    assert TABLE.headline_of(modalities) == headline
    assert list(TABLE.rows(modalities)) == [*modalities, *rows]


def test_two_combinations_of_the_same_modalities_are_two_rows() -> None:
    """By hand: 3 and 2 against 0 and 4 is 3, 6 by 1 : 1 and 3, 8 by 1 : 1.5."""
    cells = {"rgb": scores_of("rgb", [[3, 2]]), "flow": scores_of("flow", [[0, 4]])}
    rows = TABLE.rows(("rgb", "flow"))
    assert list(rows) == ["rgb", "flow", "two", "two_flow_1_5"]
    assert [fuse(cells, weights).tolist() for weights in rows.values()] == [
        [[3, 2]],
        [[0, 4]],
        [[3, 6]],
        [[3, 8]],
    ]


def test_rows_are_described_by_their_members() -> None:
    descriptions = [describe_row(*row) for row in TABLE.rows(("rgb", "flow")).items()]
    assert descriptions == ["rgb", "flow", "two: rgb + flow", "two_flow_1_5: rgb + 1.5 flow"]


def test_a_headline_can_be_one_modality() -> None:
    alone = FusionConfig(headline="flow", combinations={}, learned=False)
    assert alone.headline_of(("rgb", "flow")) == "flow"
    assert alone.rows(("rgb", "flow")) == {"rgb": {"rgb": 1.0}, "flow": {"flow": 1.0}}
    assert alone.headline_of(("rgb",)) == "rgb"

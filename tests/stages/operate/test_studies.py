"""Studies: studies.yaml read strictly, rows as recipes, and what the table says of their order."""

import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from workspace import ROOT

from stages.operate import check, studies
from stages.operate.studies import Plan, Study, load_studies, override
from stages.reporting import study_page, study_result
from stages.reporting.study_result import Found, StudyResult
from stages.reporting.study_speed import Speed
from stages.runtime import params
from tsn.lists import ListedVideo, SplitLists, write_splits
from tsn.records import RecordError

STUDIES = load_studies(ROOT / "studies.yaml")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("params.yaml", "studies.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "recipes", tmp_path / "recipes")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def plan_of(name: str, dataset: str = "synthetic", **changes: Any) -> Plan:
    study = STUDIES.studies[name]
    plan = Plan(name=name, study=study, small={}, dataset=dataset, rows=(), splits=(1,), seeds=())
    return replace(plan, **changes)


def plain_recipe(plan: Plan, row: str) -> Any:
    return studies.plain(plan.recipe_of(Path(), row))


@pytest.mark.parametrize("name", STUDIES.studies)
def test_every_cell_can_be_run_on_synthetic(project: Path, name: str) -> None:
    small = STUDIES.small["synthetic"]
    runs, refused = plan_of(name, small=small).runs(project)
    assert refused == {}
    assert [run.row for run in runs] == list(STUDIES.studies[name].chosen(()))


@pytest.mark.parametrize("dataset", ["ucf101", "hmdb51", "ucf101_four"])
@pytest.mark.parametrize("name", STUDIES.studies)
def test_a_cell_is_run_elsewhere_or_refused_with_a_reason(
    project: Path, name: str, dataset: str
) -> None:
    small = STUDIES.small.get(dataset, {})
    if (name, dataset) == ("backbones", "ucf101_four"):  # whose weights are of a network alone
        with pytest.raises(RecordError, match=r"row bn_inception: .* init makes weights of timm:"):
            plan_of(name, dataset, small=small).runs(project)
        return
    _, refused = plan_of(name, dataset, small=small).runs(project)
    assert refused.keys() <= {"clarifai", "googlenet", "vgg16"}  # whose weights are not there
    for row, why in refused.items():
        assert "backbone" in why or "weights" in why
        with pytest.raises(RecordError, match=f"row {row}: "):
            plan_of(name, dataset, rows=(row,)).runs(project)


def test_a_row_is_its_recipe_with_the_values_of_study_dataset_and_row(project: Path) -> None:
    before = studies.plain(params.load_recipe("synthetic").values)
    found = plain_recipe(plan_of("aggregation"), "top")
    for name in before["train"]:
        network = {"consensus": "top:3", "num_segments": 7}
        before["train"][name]["network"].update(network)
    before["fusion"]["combinations"]["two_stream"] = {"rgb": 1.0, "flow": 1.0}
    before["source"]["synthetic"]["frames"] = 46
    assert found == before
    (run,) = plan_of("aggregation", rows=("top",), seeds=(5,)).runs(project)[0]
    assert {row["seed"] for row in run.recipe["train"].values()} == {5}
    assert (run.name, run.modalities) == ("top-seed5", ("rgb", "flow"))
    assert (list(run.params["datasets"]), list(run.params["splits"])) == (["synthetic"], [1])


def test_segments_are_compared_with_the_average_whatever_the_recipe_has(project: Path) -> None:
    runs, refused = plan_of("segments", "activitynet").runs(project)
    assert refused == {} and len(runs) == 5
    for run in runs:
        networks = [train["network"]["consensus"] for train in run.recipe["train"].values()]
        assert set(networks) == {"average"}
        weights = studies.plain(run.recipe["fusion"]["combinations"]["two_stream"])
        assert weights == {"rgb": 1.0, "flow": 0.5}


def test_a_row_becomes_a_recipe_with_its_comments(project: Path) -> None:
    path = studies.promote(plan_of("consensus"), "max", "synthetic_max")
    comments = re.findall("#.*", (project / "recipes/synthetic.yaml").read_text())
    top, others = comments[:3], comments[3:]  # at its top it says how to change this recipe
    written = re.findall("#.*", path.read_text())
    assert set(others) <= set(written) and not set(top) & set(written)
    check.check(check.Options(dataset="synthetic_max"))
    networks = params.find(params.load_recipe("synthetic_max"), "train").values()
    assert {row["network"]["consensus"] for row in networks} == {"max"}
    with pytest.raises(ValueError, match="is there already"):
        studies.promote(plan_of("consensus"), "max", "synthetic_max")


def test_the_block_of_the_documentation_is_a_study(project: Path) -> None:
    text = (ROOT / "docs/studies.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```yaml\n(.*?)```", text, flags=re.DOTALL)
    content = studies.ROUND_TRIP.load(project / "studies.yaml")
    content["studies"].update(studies.ROUND_TRIP.load(block))
    studies.write_yaml(project / "studies.yaml", content, "")
    study = load_studies().studies["dropout"]
    plan = replace(plan_of("consensus"), name="dropout", study=study)
    runs, refused = plan.runs(project)
    assert [run.recipe["train"]["rgb"]["network"]["dropout"] for run in runs] == [0.2, 0.8]
    assert [run.modalities for run in runs] == [("rgb",), ("rgb",)] and refused == {}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"train.*.network.segments": 3}, "the recipe has no segments there; it has: backbone"),
        ({"train.sound.seed": 3}, "the recipe has no sound there; it has: rgb, rgb_diff"),
        ({"score.crops.size": 3}, "there is 'ten_crop' in the recipe, and no section"),
    ],
)
def test_a_value_that_a_recipe_does_not_have_is_refused(
    project: Path, overrides: dict[str, Any], message: str
) -> None:
    recipe = studies.ROUND_TRIP.load(project / "recipes/synthetic.yaml")
    with pytest.raises(RecordError, match=message):
        override(recipe, overrides)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"compared": "cells"}, "compared: 'cells', expected rows or columns"),
        ({"colums": {}}, "colums: unknown key"),
        ({"splits": "1"}, "splits: expected a list"),
        ({"rows": {"Max": {"label": "max", "set": {}}}}, "rows.Max: a row's name"),
        ({"rows": {"a": {"label": "a", "set": None}}}, "there is nothing to run"),
        (
            {"rows": {"a": {"label": "a", "set": {}, "published": {"both": 1.0}}}},
            "rows.a.published.both: no such column",
        ),
        (
            {"rows": {"a": {"label": "a", "set": {}, "published_speed": {"spatial": 14}}}},
            "rows.a.published_speed: the study needs `speed: true`",
        ),
    ],
)
def test_a_study_that_cannot_be_meant_is_refused(
    project: Path, change: dict[str, Any], message: str
) -> None:
    content = studies.ROUND_TRIP.load(project / "studies.yaml")
    content["studies"]["consensus"].update(change)
    studies.write_yaml(project / "studies.yaml", content, "")
    with pytest.raises(RecordError, match=f"studies.yaml: studies.consensus.*{message}"):
        load_studies()


def test_unknown_and_quoted_rows_are_refused() -> None:
    with pytest.raises(ValueError, match=r"no study tables in studies\.yaml; there are: training_"):
        studies.find_study(STUDIES, "tables")
    with pytest.raises(ValueError, match="no row min; there are: max, average, weighted_average"):
        STUDIES.studies["consensus"].chosen(["min"])
    with pytest.raises(ValueError, match="row kvmf: it is quoted"):
        STUDIES.studies["state_of_the_art"].chosen(["kvmf"])


# -- the table --------------------------------------------------------------------------------


def result_of(values: dict[str, list[float]], study: Study, **changes: Any) -> StudyResult:
    """A result whose columns all have the row's values, one for each seed."""
    found = [
        Found(
            row=row,
            seed=seed,
            accuracies=dict.fromkeys(study.columns, value),
            by_class={"still": 50.0, "moving": 100 - value, "Wave | hand": value},
            digests={},
            of_published_setting=True,
        )
        for row, seeds in values.items()
        for seed, value in enumerate(seeds, start=1)
    ]
    seeds = tuple(range(1, 1 + max(map(len, values.values()))))
    plan = plan_of("consensus", study=study, seeds=seeds, **changes)
    return StudyResult(plan=plan, commit="c", found=found, failed={}, refused={"x": "why"})


SMALL = Study(
    title="t",
    source="s",
    dataset="ucf101",
    splits=(1,),
    columns={"RGB": "rgb"},
    compared="rows",
    rows={
        name: studies.Row(label=name, set={}, published={"RGB": value})
        for name, value in {"low": 70.0, "high": 80.0, "other": 80.0}.items()
    },
)


def test_the_order_is_that_of_every_pair_with_different_published_numbers() -> None:
    right = result_of({"low": [10.0], "high": [20.0], "other": [15.0]}, SMALL)
    assert right.verdict == "The order is as published, in 2 of 2 pairs."
    part = result_of({"low": [10.0], "high": [20.0]}, SMALL).verdict
    assert part == "The order is as published, in 1 of 1 pairs (2 of 3 rows)."
    assert right.remarks == ["x cannot be run: why"]
    wrong = result_of({"low": [19.0, 21.0], "high": [20.0, 18.0], "other": [30.0, 30.0]}, SMALL)
    doubt = "1 of 2 differences are no more than the spread over seeds."
    assert wrong.verdict == f"The order is not as published: it is in 1 of 2 pairs. {doubt}"
    said = "Not as published: RGB: high over low by 10.0 as published, -1.0 here"
    assert wrong.remarks[0] == f"{said}; no more than the spread over seeds."
    assert "Differences under 3 points: 1." in wrong.remarks[1]
    assert str(wrong.accuracies["low"]["RGB"]) == "20.0 ± 1.4"  # of 19 and 21
    alone = result_of({"low": [1.0]}, SMALL)
    assert alone.verdict.startswith("No order to compare")
    equal = result_of({"low": [10.0], "high": [10.0]}, SMALL)
    assert equal.verdict == "The order is not as published: it is in 0 of 1 pairs (2 of 3 rows)."
    for last_bits in (-1e-14, 1e-14):
        (pair,) = result_of({"low": [10.0], "high": [10.0 + last_bits]}, SMALL).pairs
        assert str(pair).endswith("by 10.0 as published, +0.0 here")
        assert not pair.as_published


def test_classes_show_what_each_row_gives_them_over_the_first() -> None:
    result = result_of({"low": [10.0, 20.0], "high": [20.0, 20.0], "other": [5.0, 5.0]}, SMALL)
    assert result.class_table() == [
        ["", "low", "high", "other"],
        ["moving", "85.0", "-5.0", "+10.0"],
        ["still", "50.0", "+0.0", "+0.0"],
        ["Wave | hand", "15.0", "+5.0", "-10.0"],
    ]
    assert len(result_of({"low": [10.0]}, SMALL).class_table()) == 1


def test_columns_are_compared_within_a_row() -> None:
    study = STUDIES.studies["modalities"]
    result = result_of({"k1": [50.0], "k3": [60.0]}, study)
    assert len(result.pairs) == 8 * 7 // 2  # of k1 alone: nothing was published of k3
    assert {pair.where for pair in result.pairs} == {"without segments, K = 1"}


@pytest.mark.parametrize(
    ("changes", "beside"),
    [
        ({"dataset": "ucf101"}, True),
        ({"dataset": "ucf101_paper"}, True),
        ({"dataset": "synthetic"}, False),
        ({"dataset": "ucf101_four"}, False),
        ({"dataset": "ucf101", "splits": (1, 2, 3)}, False),
        ({"dataset": "ucf101", "small": {"score.snippets": 5}}, False),
    ],
)
def test_published_numbers_stand_beside_results_of_their_setting_only(
    changes: dict[str, Any], beside: bool
) -> None:
    result = result_of({"low": [10.0], "high": [20.0]}, SMALL, **changes)
    assert result.table()[1] == ["low", "10.0 (70.0)" if beside else "10.0"]
    text = "\n".join(study_page.markdown(result))
    assert ("only the order compares" in text) is not beside
    other = replace(
        result, found=[replace(one, of_published_setting=False) for one in result.found]
    )
    assert other.table()[1] == ["low", "10.0"]


@pytest.mark.parametrize(
    ("name", "backbone", "tested", "official"),
    [
        ("consensus", "bn_inception", 3, True),
        ("consensus", "bn_inception", 2, False),  # some test videos are gone
        ("consensus", "resnet50", 3, False),
        ("backbones", "vgg16", 3, True),  # as the row says
    ],
)
def test_official_are_whole_lists_and_the_published_network(
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    backbone: str,
    tested: int,
    official: bool,
) -> None:
    monkeypatch.setattr(study_result, "OFFICIAL", {"ucf101": {1: (5, 3)}})
    videos = tuple(ListedVideo(f"a/{number}.avi", 0, "", ()) for number in range(5))
    lists = SplitLists(classes=("a",), train={1: videos}, test={1: videos[:tested]})
    write_splits(lists, project / "data/ucf101/splits")
    row = {"consensus": "max", "backbones": "vgg16"}[name]
    plan = plan_of(name, "ucf101", rows=(row,))
    recipe = plan.recipe_of(project, row)
    for train in recipe["train"].values():
        train["network"]["backbone"] = backbone
    run = studies.Run(row=row, seed=None, modalities=("rgb", "flow"), recipe=recipe, params={})
    assert study_result.is_official(run, plan, project) is official


def test_equal_results_are_equal_files(tmp_path: Path) -> None:
    result = result_of({"low": [10.0, 12.0], "high": [20.0, 20.0]}, SMALL)
    for folder in ("a", "b"):
        study_page.write(result, tmp_path / folder)
    for suffix in ("md", "json", "png", "html"):
        name = f"{result.plan.file_name}.{suffix}"
        first, second = (tmp_path / folder / name for folder in ("a", "b"))
        assert first.read_bytes() == second.read_bytes()
    assert result.plan.file_name == "synthetic-seeds-1-2"
    page = (tmp_path / "a/synthetic-seeds-1-2.html").read_text()
    assert "<th>RGB</th>" in page and "<td>11.0 ± 1.4</td>" in page and "data:image/png" in page


def test_speeds_stand_beside_accuracies_and_published_ones_apart(tmp_path: Path) -> None:
    rows = {
        "low": replace(SMALL.rows["low"], published_speed={"RGB": 14.0}),
        "high": SMALL.rows["high"],
    }
    study = replace(SMALL, rows=rows, speed=True, published_on="a Titan X")
    result = result_of({"low": [10.0, 20.0], "high": [20.0, 20.0]}, study)
    rates = iter((3.0, 6.0, 340.4, 340.4))
    found = [
        replace(
            one,
            speed=Speed(
                key="k",
                device="a CPU, 1 thread",
                videos=("a/1.avi", "a/2.avi"),
                frames_per_second={"rgb": next(rates), "flow": 1.0},
            ),
        )
        for one in result.found
    ]
    result = replace(result, found=found)
    assert result.table() == [
        ["", "RGB", "frames/s"],
        ["low", "15.0 ± 7.1", "4.5"],
        ["high", "20.0 ± 0.0", "340"],
    ]
    assert result.published_table()[1:] == [["low", "70.0", "14"], ["high", "80.0", "–"]]
    said = "The median of 2 videos, on a CPU, 1 thread. Those published are of a Titan X: another"
    assert any(said in remark for remark in result.remarks)
    assert result.numbers()["rows"]["low"]["frames_per_second"] == {"RGB": 4.5}
    assert "mean class accuracy in % and frames/s, synthetic" in "".join(
        study_page.markdown(result)
    )
    study_page.write(result, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(result.file_names)
    page = (tmp_path / f"{result.plan.file_name}.html").read_text()
    assert 'alt="Accuracy against speed"' in page
    unmeasured = replace(result, found=[replace(one, speed=None) for one in found])
    assert unmeasured.table()[1] == ["low", "15.0 ± 7.1", "–"]
    assert len(unmeasured.file_names) == 4

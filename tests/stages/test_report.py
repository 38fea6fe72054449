"""report: the page of a dataset some of whose modalities are run, and by what its run is found."""

import json
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from odd_names import MISREAD
from toy_cells import BASELINE_SCORES, FLOW, LISTED, RGB

from stages import fuse, report
from stages.report import run_key
from stages.reporting import dvc_view, report_figures
from stages.reporting.published import OFFICIAL
from stages.reporting.results import Row, measure
from stages.runtime.computer import describe_computer
from stages.tracking import made
from stages.tracking.made import write_note
from tsn.files import read_csv, write_csv
from tsn.lists import ListedVideo, SplitLists, write_splits
from tsn.scoring.scores import VideoScores, save_scores
from tsn.splits.leakage import Findings, write_leaks
from tsn.splits.survey import Facts, write_facts

LISTS = Path("lists")
ROW = Row(mean_class_accuracy=0.5, top1=0.5, top5=1.0, by_tag={})
RECIPE = """
fusion:
  headline: HEADLINE
  combinations:
    all: {rgb: 1.0, flow: 1.5, warped_flow: 0.5}
    even: {rgb: 1.0, flow: 1.0}
    more_flow: {rgb: 1.0, flow: 1.5}
  learned: false
train:
  rgb:
    input_size: 224
    initialisation: copied
    network: {backbone: bn_inception, consensus: average, num_segments: 3}
    solver: {iterations: 2, batch_size: 4, base_lr: 0.1}
  flow:
    input_size: 224
    initialisation: cross_modality
    network: {backbone: bn_inception, consensus: average, num_segments: 3}
    solver: {iterations: 2, batch_size: 4, base_lr: 0.1}
source: {folder: {}}
split: {format: FORMAT}
accept: {}
extract: {}
init: null
score: {snippets: 25, crops: ten_crop}
baseline: {}
"""
FACTS = Facts(width=320, height=240, frames_per_second=25.0, counted=50, frames=50)


def test_a_run_is_found_by_the_numbers_of_every_split() -> None:
    better = Row(mean_class_accuracy=0.6, top1=0.5, top5=1.0, by_tag={})
    keys = [
        run_key("d", {1: {"rgb": ROW}, 2: {"rgb": ROW}}),
        run_key("d", {1: {"rgb": ROW}}),
        run_key("d", {1: {"rgb": ROW}, 2: {"rgb": better}}),
    ]
    assert len({key["fingerprint"] for key in keys}) == 3


def write_cells(
    modalities: Sequence[str],
    headline: str = "all",
    dataset: str = "d",
    baseline: VideoScores = BASELINE_SCORES,
) -> None:
    """Write what the stages before fuse do, of one split of the dataset."""
    Path("params.yaml").write_text(f"splits: [1]\nmodalities: [{', '.join(modalities)}]\n")
    Path("recipes").mkdir()
    recipe = RECIPE.replace("HEADLINE", headline).replace("FORMAT", dataset)
    Path(f"recipes/{dataset}.yaml").write_text(recipe)
    listed = tuple(LISTED)
    write_splits(SplitLists(classes=("a", "b"), train={1: listed}, test={1: listed}), LISTS)
    write_facts(Path("lists/survey.csv"), {row.video: FACTS for row in listed})
    write_leaks(Path("lists/leaks.csv"), {1: Findings([], [])})
    Path("stream").mkdir()
    Path("plots/1/training").mkdir(parents=True)
    for name in ("look.png", "visualise.jpg"):
        Path("plots", name).write_bytes(b"picture")
    save_scores(replace(baseline, dataset=dataset), Path("scores/1/baseline.npz"))
    for cell in (RGB, FLOW):
        name = cell.modality
        save_scores(
            replace(cell, dataset=dataset), Path(f"scores/1/{name}.npz")
        )  # that of one left out may still be there
        log = {"iteration": [1, 2], "loss": [2.0, 1.0], "accuracy": [0.5, 1.0], "lr": [0.1, 0.01]}
        pd.DataFrame(log).to_csv(f"plots/1/training/{name}.csv", index=False)
        write_csv(Path(f"quarantine/{name}.csv"), ("video", "reason"), [])


def fuse_and_report(dataset: str = "d", splits: Sequence[int] = (1,)) -> None:
    """Run the two stages on what `write_cells` wrote."""
    for split in splits:
        fuse.main(
            fuse.Options(
                dataset=dataset,
                split=split,
                list=Path(f"lists/{split}/test.csv"),
                scores=Path(f"scores/{split}"),
                metrics=Path(f"metrics/split{split}.json"),
                plots=Path(f"plots/{split}"),
            )
        )
    report.main(
        report.Options(
            dataset=dataset,
            metrics=Path("metrics"),
            plots=Path("plots"),
            lists=Path("lists"),
            quarantine=Path("quarantine"),
            scores=Path("scores"),
            stream=Path("stream"),
            mean=Path("metrics/mean.json"),
            summary=Path("metrics/summary.json"),
            pictures=Path("pictures"),
            out=Path("report"),
        )
    )


def learned_section() -> str:
    page = Path("report/index.html").read_text()
    return page.partition("What the networks have learned")[2].partition("<h2 ")[0]


def test_the_page_shows_the_clips_that_the_headline_mixes_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_stream: Callable[..., Path]
) -> None:
    """RGB takes a/2 for b; of clips that the stream does not have, the text is left."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TSN_TRACKING", "off")
    write_cells(["rgb"])
    fuse_and_report()
    found = learned_section()
    assert "<h4>a → b: 1 of 2</h4>" in found and "split 1, margin 1.00" in found
    assert found.count('class="none"') == 4  # a → b; wrong; right of a and of b
    assert "<img" not in found and "<h3>Scores over time</h3>" in found
    for channels in (3, 2):  # frames, and flow as colours
        entries = {row.video: np.full((9, 32, 40, channels), 90, np.uint8) for row in LISTED}
        shutil.rmtree("stream", ignore_errors=True)
        write_stream(Path("stream"), entries)
        fuse_and_report()
        assert learned_section().count('<img src="data:image/jpeg') == 4 + 1  # one snippet
    right = np.eye(2, dtype=np.float32)[[0, 0, 1]]
    save_scores(replace(RGB, scores=right), Path("scores/1/rgb.npz"))
    fuse_and_report()
    assert "<p>No test clip was taken for another class.</p>" in learned_section()


@pytest.mark.parametrize(
    ("modalities", "combinations", "headline"),
    [(["rgb"], [], "rgb"), (["rgb", "flow"], ["even", "more_flow"], "even")],
)
def test_modalities_that_are_left_out_are_named_and_nothing_else_asks_for_them(
    modalities: list[str],
    combinations: list[str],
    headline: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TSN_TRACKING", "off")
    write_cells(modalities)
    fuse_and_report()
    for name in ("split1", "mean"):
        found = json.loads(Path(f"metrics/{name}.json").read_text())
        assert list(found) == [*modalities, *combinations, "baseline"]
    table = pd.read_csv("plots/1/accuracy.csv")
    assert list(table) == ["name", "mean_class_accuracy", "top1", "top5", "long", "pan", "still"]
    first = table.iloc[0]
    assert (first["mean_class_accuracy"], first["pan"]) == (0.75, 0.5)
    said = capsys.readouterr().out
    assert "d split 1: not run: all (" in said
    assert f"d split 1: {headline} " in said
    text = Path("report/table.txt").read_text()
    assert re.search(rf"^{headline} \*", text, re.MULTILINE)
    assert ("\neven: rgb + flow\nmore_flow: rgb + 1.5 flow\n" in text) == ("flow" in modalities)
    assert f"The result is {headline}: the recipe's, all, is not run." in text
    lacking = [name for name in ("flow", "warped_flow") if name not in modalities]
    verb = "are" if len(lacking) > 1 else "is"
    note = f"Not run: all ({', '.join(lacking)} {verb} not among modalities)"
    note += "." if "flow" in modalities else "; even, more_flow (flow is not among modalities)."
    for name in ("table.txt", "table.md", "index.html"):
        page = Path("report", name).read_text()
        assert note in page
        assert page.count("Not run: ") == 1


def test_combinations_of_the_same_modalities_stand_side_by_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the published number of its own weights each; the recipe's K is the project page's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TSN_TRACKING", "off")
    monkeypatch.setitem(OFFICIAL, "ucf101", {1: (3, 3)})
    write_cells(["rgb", "flow"], headline="more_flow", dataset="ucf101")
    fuse_and_report("ucf101")
    lines = Path("report/table.txt").read_text().splitlines()
    header = ["split", "1", "95", "%", "top-1", "top-5", "published", "Δ", "setting"]
    assert lines[0].split() == header
    rows = {line.split()[0]: line for line in lines[2:7] if line}
    assert list(rows) == ["rgb", "flow", "even", "more_flow"]
    assert rows["rgb"].endswith("  85.5  -10.5  K = 3, project page")  # 75.0 of these toys
    assert rows["even"].endswith("  –")
    assert rows["more_flow"].startswith("more_flow *  ")
    assert rows["more_flow"].endswith("  93.5  -18.5  K = 3, project page")
    recipe = Path("recipes/ucf101.yaml")
    recipe.write_text(recipe.read_text().replace("num_segments: 3", "num_segments: 2", 1))
    fuse_and_report("ucf101")
    page = Path("report/index.html").read_text()
    for name, fused in (("even", "rgb + flow"), ("more_<wbr>flow", "rgb + 1.5 flow")):
        assert f">{name}<small>{fused}</small></th>" in page
    assert "93.5" not in page and "87.6" in page  # one network of K = 2: only that of flow is left
    monkeypatch.setitem(OFFICIAL, "ucf101", {1: (3, 4)})
    fuse_and_report("ucf101")
    assert "published" not in Path("report/table.txt").read_text()  # a test video is left out


def test_the_result_may_be_one_modality(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TSN_TRACKING", "off")
    write_cells(["rgb", "flow"], headline="flow")
    save_scores(replace(FLOW, scores=FLOW.scores[:, ::-1]), Path("scores/1/flow.npz"))
    fuse_and_report()
    assert "d split 1: flow 25.0%" in capsys.readouterr().out  # flow has wrong what rgb has right
    confusion = pd.read_csv("plots/1/confusion.csv")
    assert confusion["predicted"].tolist() == ["b", "a", "a"]
    text = Path("report/table.txt").read_text()
    assert re.search(r"^flow \*  +25 ", text, re.MULTILINE)
    assert "The result is" not in text
    assert "test videos are right with <b>flow</b>" in Path("report/index.html").read_text()


def test_learned_weights_are_of_training_videos_that_the_other_split_tests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In both splits flow is right and RGB wrong of what the other trains on."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TSN_TRACKING", "off")
    write_cells(["rgb", "flow"], headline="even")
    recipe = Path("recipes/d.yaml")
    recipe.write_text(recipe.read_text().replace("learned: false", "learned: true"))
    fuse_and_report()
    why = "no other split's test list has videos that split 1 trains on"
    assert f"; learned ({why}" in Path("report/table.txt").read_text()
    assert "learned" not in json.loads(Path("metrics/mean.json").read_text())

    Path("params.yaml").write_text("splits: [1, 2]\nmodalities: [rgb, flow]\n")
    lists = {1: tuple(LISTED), 2: tuple(replace(row, video=f"{row.video}x") for row in LISTED)}
    write_splits(
        SplitLists(classes=("a", "b"), train={1: lists[2], 2: lists[1]}, test=lists), LISTS
    )
    for split in lists:
        right = np.array([[3, 0], [3, 0], [0, 3]], np.float32)
        for cell, scores in ((FLOW, right), (RGB, right[:, ::-1]), (BASELINE_SCORES, right)):
            videos = tuple(video + "x" * (split - 1) for video in cell.videos)
            found = replace(cell, split=split, videos=videos, scores=scores)
            save_scores(found, Path(f"scores/{split}/{cell.modality}.npz"))
    shutil.copytree("plots/1/training", "plots/2/training")
    fuse_and_report(splits=(1, 2))
    mean = json.loads(Path("metrics/mean.json").read_text())
    assert list(mean) == ["rgb", "flow", "even", "more_flow", "learned", "baseline"]
    assert mean["learned"] == mean["flow"]
    assert mean["learned"]["mean_class_accuracy"] == 1.0
    text = Path("report/table.txt").read_text()
    assert "that other splits test: split 1: flow; split 2: flow. " in text


def test_the_baseline_has_a_row_apart_or_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """RGB has one of two videos of class a right and that of class b, the baseline all of a."""
    monkeypatch.setenv("TSN_TRACKING", "off")
    for name in ("run", "scratch"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "run")
    write_cells(["rgb"])
    fuse_and_report()
    text = Path("report/table.txt").read_text()
    assert re.search(r"^rgb \* .*\n\nbaseline +50 ", text, re.MULTILINE)
    assert "rgb beats it: +25.0 points." in text
    numbers = {"result": 75.0, "top1": 66.67, "rgb": 75.0, "baseline": 50.0}
    assert json.loads(Path("metrics/summary.json").read_text()) == numbers
    assert {path.name for path in Path("pictures").iterdir()} == set(dvc_view.PICTURES)
    assert list(pd.read_csv("plots/1/per_class.csv")["baseline"]) == [1.0, 0.0]
    monkeypatch.chdir(tmp_path / "scratch")
    empty = np.zeros((0, 2), np.float32)
    labels = np.zeros(0, np.int64)
    write_cells(
        ["rgb"],
        baseline=replace(BASELINE_SCORES, videos=(), labels=labels, snippets=empty, scores=empty),
    )
    fuse_and_report()
    why = "the recipe's init makes no weights that it could take features with"
    assert f"; baseline ({why})\nd split 1: rgb" in capsys.readouterr().out
    assert list(json.loads(Path("metrics/mean.json").read_text())) == ["rgb"]
    assert f"; baseline ({why})." in Path("report/table.txt").read_text()


def test_classes_keep_their_names_whatever_they_look_like(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = len(MISREAD)
    cell = replace(
        RGB,
        classes=MISREAD,
        videos=tuple(f"{name}/1" for name in MISREAD),
        labels=np.arange(count),
        snippets=np.zeros((count, 1, count), np.float32),
        scores=np.eye(count, dtype=np.float32),
    )
    listed = [ListedVideo(video, label, "1", ()) for label, video in enumerate(cell.videos)]
    metrics = measure({"rgb": cell.scores}, cell, listed)
    for split in (1, 2):
        fuse.write_plots({"rgb": cell.scores}, {"rgb": cell}, metrics, "rgb", tmp_path / str(split))
    drawn: list[object] = []
    monkeypatch.setattr(report_figures, "draw_per_class_bars", lambda *given: drawn.extend(given))
    counts = SimpleNamespace(classes=dict.fromkeys(MISREAD, 2))
    found = SimpleNamespace(
        splits=(1, 2), modalities=["rgb"], headline="rgb", mean=["rgb"], tested=counts
    )
    report_figures.draw_classes(tmp_path, found, tmp_path / "bars.png", "Classes")
    rows, classes, *_ = drawn
    assert classes == [f"{name} (2)" for name in MISREAD]
    assert list(rows["rgb"]) == [1.0] * count
    table = read_csv(tmp_path / "1/confusion.csv", ("predicted",))  # by csv, as DVC reads it
    assert [row["predicted"] for row in table] == list(MISREAD)


def test_the_same_results_give_the_same_page_whenever_it_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Times and the computer are those of the processes that made the results."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TSN_TRACKING", "off")
    write_cells(["rgb", "flow"], headline="even")
    write_note("m")
    fuse_and_report()
    before = {path.name: path.read_bytes() for path in Path("report").iterdir()}
    assert describe_computer()["device"] in before["index.html"].decode()
    monkeypatch.setattr(made, "_BEGAN", 0)
    fuse_and_report()
    assert {path.name: path.read_bytes() for path in Path("report").iterdir()} == before


def test_a_stream_that_beats_the_headline_is_told_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Flow has all three right; with it RGB, surer of one mistake, two."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TSN_TRACKING", "off")
    write_cells(["rgb", "flow"], headline="even")
    right = np.eye(2, dtype=np.float32)[[0, 0, 1]] / 2
    save_scores(replace(FLOW, scores=right), Path("scores/1/flow.npz"))
    fuse_and_report()
    page = Path("report/index.html").read_text()
    assert "<p>flow alone has 100 %, the headline even 75 %. flow is right on 1 test videos" in page
    assert "<pre>fusion:\n  learned: true</pre>" in page

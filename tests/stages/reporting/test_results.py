import json
import re

import pytest

from stages.reporting import published, results


def row(accuracy, top1=None, top5=1.0, **by_tag):
    top1 = accuracy if top1 is None else top1
    return {"mean_class_accuracy": accuracy, "top1": top1, "top5": top5, "by_tag": by_tag}


SPLITS = {
    1: {"rgb": row(0.5, pan=0.2, motion=0.4), "flow": row(0.6), "rgb+flow": row(0.8)},
    2: {"rgb": row(0.7, pan=0.4), "flow": row(0.6), "rgb+flow": row(0.9)},
}


def test_mean_over_splits_by_hand():
    mean = results.mean_over_splits(list(SPLITS.values()))
    assert list(mean) == ["rgb", "flow", "rgb+flow"]
    assert mean["rgb"]["mean_class_accuracy"] == pytest.approx(0.6)
    assert mean["rgb"]["spread"] == pytest.approx(0.1)
    assert mean["flow"]["spread"] == 0
    # Only the first split's test list has videos tagged motion.
    assert mean["rgb"]["by_tag"] == pytest.approx({"pan": 0.3, "motion": 0.4})


def test_mean_of_different_rows_is_refused():
    with pytest.raises(ValueError, match=r"number 2 has \['rgb'\]"):
        results.mean_over_splits([SPLITS[1], {"rgb": row(0.5)}])
    with pytest.raises(ValueError, match="at least one split"):
        results.mean_over_splits([])


def test_load_split_gives_back_what_was_written(tmp_path):
    path = tmp_path / "split1.json"
    path.write_text(json.dumps(SPLITS[1]))
    assert results.load_split(path) == SPLITS[1]
    mean = results.mean_over_splits(list(SPLITS.values()))
    path.write_text(json.dumps(mean))
    assert results.load_split(path) == mean


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("{", "not JSON"),
        ("{}", "expected an object of modalities"),
        ('{"rgb": 3}', "rgb: expected an object, found 3"),
        (json.dumps({"rgb": row(85.1)}), "rgb: mean_class_accuracy: expected a fraction"),
        (json.dumps({"rgb": row(0.5, top5=None)}), "rgb: top5: expected a fraction"),
        (json.dumps({"rgb": row(0.5, pan=True)}), "rgb: by_tag: pan: expected a fraction"),
        (json.dumps({"rgb": row(float("nan"))}), "rgb: mean_class_accuracy"),
    ],
)
def test_load_split_refuses(tmp_path, content, complaint):
    path = tmp_path / "split1.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=re.escape(str(path)) + ".*" + complaint):
        results.load_split(path)


def test_text_table():
    mean = results.mean_over_splits(list(SPLITS.values()))
    assert results.text_table(mean, SPLITS, "rgb+flow").splitlines() == [
        "            split 1  split 2         mean  top-1  top-5",
        "───────────────────────────────────────────────────────",
        "rgb            50.0     70.0  60.0 ± 10.0   60.0  100.0",
        "flow           60.0     60.0   60.0 ± 0.0   60.0  100.0",
        "",
        "rgb+flow *     80.0     90.0   85.0 ± 5.0   85.0  100.0",
    ]


def test_one_split_needs_no_mean():
    only = {2: SPLITS[2]}
    table = results.result_table(results.mean_over_splits([SPLITS[2]]), only, "rgb+flow", None)
    assert table.header == ["", "split 2", "top-1", "top-5"]
    assert table.rows[0] == ["rgb", "70.0", "70.0", "100.0"]


def test_tag_table_has_a_column_per_tag_and_a_dash_where_none_was_tested():
    mean = results.mean_over_splits(list(SPLITS.values()))
    assert results.tag_table(mean).splitlines() == [
        "           pan  motion",
        "──────────────────────",
        "rgb       30.0    40.0",
        "flow         –       –",
        "",
        "rgb+flow     –       –",
    ]
    assert results.tag_table({"rgb": row(0.5)}) == ""


def test_markdown_table_compares_with_the_paper():
    """And marks the headline, not the best: that would be a choice made on the test list."""
    splits = {k: {"rgb": row(0.861), "warped_flow": row(0.9)} for k in (1, 2, 3)}
    mean = results.mean_over_splits(list(splits.values()))
    lines = results.markdown_table(mean, splits, "rgb", published.PAPER["ucf101"]).splitlines()
    assert lines[0] == "|  | split 1 | split 2 | split 3 | mean | top-1 | top-5 | paper | Δ |"
    assert lines[1] == "| --- |" + " ---: |" * 8
    assert lines[2].endswith("| **86.1 ± 0.0** | **86.1** | **100.0** | **85.1** | **+1.0** |")
    assert lines[3].endswith("| 90.0 ± 0.0 | 90.0 | 100.0 | – |  |")


@pytest.mark.parametrize(
    ("dataset", "name", "splits", "expected"),
    [
        ("ucf101", "rgb+flow", (1, 2, 3), 0.940),
        ("ucf101", "flow+rgb", (3, 1, 2), 0.940),
        ("ucf101", "rgb+flow", (1,), 0.935),
        ("hmdb51", "flow", (1, 2), (0.624 + 0.633) / 2),
        ("ucf101", "rgb+flow+warped_flow", (1, 2, 3), 0.942),
        ("ucf101", "rgb+flow+warped_flow", (1,), None),
        ("ucf101", "warped_flow", (1, 2, 3), None),
        ("hmdb51", "rgb", (1, 4), None),
    ],
)
def test_find_published(dataset, name, splits, expected):
    found = published.find_published(published.PAPER[dataset], name, splits)
    assert found == (None if expected is None else pytest.approx(expected))


def test_the_papers_single_splits_average_to_its_means():
    for cells in published.PAPER.values():
        for name, cell in cells.items():
            if len(cell.splits) == 3:
                mean = sum(cell.splits.values()) / 3
                # Sources of the single splits differ by up to half a point.
                assert mean == pytest.approx(cell.mean, abs=0.005), name


def test_html_page_is_complete_and_needs_no_other_file(tmp_path):
    image = tmp_path / "a.png"
    image.write_bytes(b"\x89PNG")
    page = results.html_page(
        dataset="my <data>",
        facts={"videos": "192"},
        listings=[
            results.Listing(title="Bad", caption="c", header=("Video",), rows=[("<i>.avi",)])
        ],
        mean=results.mean_over_splits(list(SPLITS.values())),
        splits=SPLITS,
        headline="rgb+flow",
        paper=None,
        figures=[results.Figure(title="Fusion", caption="a & b", path=image)],
    )
    assert "<h1>my &lt;data&gt;</h1>" in page
    assert "<dt>videos</dt><dd>192</dd>" in page
    assert "<h3>Bad</h3>" in page and "<td>&lt;i&gt;.avi</td>" in page
    assert "60.0 ± 10.0" in page
    assert page.count('class="headline first-combination"') == 1
    assert "a &amp; b" in page
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert sources == ["data:image/png;base64,iVBORw=="]
    assert "http" not in page


def test_html_page_refuses_a_figure_that_is_not_there(tmp_path):
    figures = [results.Figure(title="t", caption="c", path=tmp_path / "none.png")]
    with pytest.raises(FileNotFoundError, match=r"none\.png"):
        results.html_page(
            dataset="d",
            facts={},
            listings=[],
            mean=SPLITS[1],
            splits={1: SPLITS[1]},
            headline="rgb+flow",
            paper=None,
            figures=figures,
        )

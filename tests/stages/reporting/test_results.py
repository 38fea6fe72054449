import json
import re
from dataclasses import replace

import pytest

from stages.reporting import published, results
from stages.reporting.learned import Group, Learned, Tile

NOTHING = Learned(gains=None, confusions=(), surest=(), notes=())


def row(accuracy, top1=None, top5=1.0, **by_tag):
    top1 = accuracy if top1 is None else top1
    return results.Row(mean_class_accuracy=accuracy, top1=top1, top5=top5, by_tag=by_tag)


def plain(accuracy, top5=1.0, **by_tag):
    """Return a metrics file of one row, as text."""
    values = {"mean_class_accuracy": accuracy, "top1": 0.5, "top5": top5, "by_tag": by_tag}
    return json.dumps({"rgb": values})


TILES = [
    Tile(picture="data:image/jpeg;base64,/9j/", lines=["1.avi"]),
    Tile(picture="", lines=["2.avi", "split 1"]),
]
CONFUSION = Group(title="<a> → b: 2 of 3", tiles=TILES)
SPLITS = {
    1: {"rgb": row(0.5, pan=0.2, motion=0.4), "flow": row(0.6), "two_stream": row(0.8)},
    2: {"rgb": row(0.7, pan=0.4), "flow": row(0.6), "two_stream": row(0.9)},
}
RGB, FLOW, FLOW_1_5 = {"rgb": 1.0}, {"flow": 1.0}, {"rgb": 1.0, "flow": 1.5}
FOUND = results.Results(
    dataset="d",
    splits=SPLITS,
    weights={"rgb": RGB, "flow": FLOW, "two_stream": FLOW_1_5},
    headline="two_stream",
    wanted="two_stream",
    not_run={},
    published={},
    learned={},
)


def test_mean_over_splits_by_hand():
    mean = results.mean_over_splits(list(SPLITS.values()))
    assert list(mean) == ["rgb", "flow", "two_stream"]
    assert mean["rgb"].mean_class_accuracy == pytest.approx(0.6)
    assert mean["rgb"].spread == pytest.approx(0.1)
    assert mean["flow"].spread == 0
    # Only the first split's test list has videos tagged motion.
    assert mean["rgb"].by_tag == pytest.approx({"pan": 0.3, "motion": 0.4})


def test_mean_of_different_rows_is_refused():
    with pytest.raises(ValueError, match=r"number 2 has \['rgb'\]"):
        results.mean_over_splits([SPLITS[1], {"rgb": row(0.5)}])
    with pytest.raises(ValueError, match="at least one split"):
        results.mean_over_splits([])


def test_rows_are_read_as_they_were_written(tmp_path):
    path = tmp_path / "split1.json"
    for rows in (SPLITS[1], FOUND.mean):
        results.write_rows(path, rows)
        assert results.read_rows(path) == rows
        assert list(results.read_rows(path)) == list(rows)


def test_the_metrics_file_byte_by_byte(tmp_path):
    """Of one split, and of a mean: DVC and `dvc metrics diff` read it."""
    results.write_rows(tmp_path / "split1.json", {"rgb": row(0.5, pan=0.25)})
    head = '{\n  "rgb": {\n    "mean_class_accuracy": 0.5,\n    "top1": 0.5,\n    "top5": 1.0,\n'
    tags = '    "by_tag": {\n      "pan": 0.25\n    }'
    text = (tmp_path / "split1.json").read_text()
    assert text == f"{head}{tags}\n  }}\n}}\n"
    results.write_rows(tmp_path / "mean.json", {"rgb": replace(row(0.5, pan=0.25), spread=0.0)})
    text = (tmp_path / "mean.json").read_text()
    assert text == f'{head}{tags},\n    "spread": 0.0\n  }}\n}}\n'


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("{", "not JSON"),
        ("{}", "expected an object of modalities"),
        ('{"rgb": 3}', "rgb: expected a mapping, got 3"),
        ('{"rgb": {}}', "rgb.mean_class_accuracy: missing"),
        (plain(85.1), "rgb: mean_class_accuracy: expected a fraction in 0..1, found 85.1"),
        (plain(0.5, top5=None), "rgb.top5: expected a number, got None"),
        (plain(0.5, pan=True), "rgb.by_tag.pan: expected a number, got True"),
        (plain(0.5, pan=-0.1), "rgb: by_tag: pan: expected a fraction in 0..1, found -0.1"),
        (plain(float("nan")), "rgb.mean_class_accuracy: expected a finite number, got nan"),
    ],
)
def test_what_is_no_metrics_file_is_refused(tmp_path, content, complaint):
    path = tmp_path / "split1.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=re.escape(f"{path}: ") + ".*" + re.escape(complaint)):
        results.read_rows(path)


def test_tables_of_a_terminal():
    """The table by tag has a column per tag, and a dash where none was tested."""
    assert results.text_tables(FOUND).splitlines() == [
        "              split 1  split 2         mean  top-1  top-5",
        "─────────────────────────────────────────────────────────",
        "rgb              50.0     70.0  60.0 ± 10.0   60.0  100.0",
        "flow             60.0     60.0   60.0 ± 0.0   60.0  100.0",
        "",
        "two_stream *     80.0     90.0   85.0 ± 5.0   85.0  100.0",
        "",
        "             pan  motion",
        "────────────────────────",
        "rgb         30.0    40.0",
        "flow           –       –",
        "",
        "two_stream     –       –",
        "",
        "two_stream: rgb + 1.5 flow",
    ]


def test_the_baseline_comes_last_and_apart_and_is_no_modality():
    splits = {k: {**rows, "baseline": row(0.7)} for k, rows in SPLITS.items()}
    found = replace(FOUND, splits=splits)
    assert found.modalities == ["rgb", "flow"]
    lines = results.text_tables(found).splitlines()
    assert lines[4:8] == [
        "",
        "two_stream *     80.0     90.0   85.0 ± 5.0   85.0  100.0",
        "",
        "baseline         70.0     70.0   70.0 ± 0.0   70.0  100.0",
    ]
    assert lines[-1].endswith("two_stream beats it: +15.0 points.")
    assert "| *baseline* | *70.0* |" in results.markdown_table(found)
    page = results.html_page(found, {}, [], NOTHING, [])
    assert page.count('class="baseline ') == 2  # by split, and by tag
    worse = replace(found, headline="flow", wanted="flow")
    assert worse.notes[-1].endswith("flow does not beat it: -10.0 points.")


def test_one_split_needs_no_mean():
    table = results.result_table(replace(FOUND, splits={2: SPLITS[2]}), FOUND.descriptions)
    assert table.header == ["", "split 2", "top-1", "top-5"]
    assert table.rows[0] == ["rgb", "70.0", "70.0", "100.0"]
    assert table.rows[2] == ["two_stream: rgb + 1.5 flow", "90.0", "90.0", "100.0"]


def test_one_modality_alone_is_its_own_headline_and_what_is_not_run_is_said():
    alone = results.Results(
        dataset="d",
        splits={2: {"rgb": row(0.7)}},
        weights={"rgb": RGB},
        headline="rgb",
        wanted="two_stream",
        not_run={"two_stream": "flow is not among modalities"},
        published={},
        learned={},
    )
    assert results.text_tables(alone) == (
        "       split 2  top-1  top-5\n"
        "────────────────────────────\n"
        "rgb *     70.0   70.0  100.0\n"
        "\n"
        "Not run: two_stream (flow is not among modalities).\n"
        "\n"
        "The result is rgb: the recipe's, two_stream, is not run.\n"
    )
    assert results.markdown_table(alone).count("\nNot run: two_stream (") == 1
    page = results.html_page(alone, {}, [], NOTHING, [])
    assert '<p class="muted">Not run: two_stream (flow is not among modalities).</p>' in page
    assert "The result is rgb: the recipe&#39;s, two_stream, is not run." in page


def test_markdown_table_compares_with_what_was_published():
    """And marks the headline, not the best: that would be a choice made on the test list."""
    splits = {k: {"rgb": row(0.861), "warped_flow": row(0.9)} for k in (1, 2, 3)}
    found = replace(
        FOUND,
        splits=splits,
        weights={"rgb": RGB, "warped_flow": {"warped_flow": 1.0}},
        headline="rgb",
        wanted="rgb",
        published={"rgb": published.PublishedAccuracy(0.851, "K = 3, project page")},
    )
    lines = results.markdown_table(found).splitlines()
    assert lines[0] == (
        "|  | split 1 | split 2 | split 3 | mean | top-1 | top-5 | published | Δ | setting |"
    )
    assert lines[1] == "| --- |" + " ---: |" * 9
    assert lines[2].endswith("| **100.0** | **85.1** | **+1.0** | **K = 3, project page** |")
    assert lines[3].endswith("| 90.0 ± 0.0 | 90.0 | 100.0 | – |  |  |")
    page = results.html_page(found, {}, [], NOTHING, [])
    assert "(published: 85.1 %, K = 3, project page)" in page


def test_html_page_is_complete_and_needs_no_other_file(tmp_path):
    image = tmp_path / "a.png"
    image.write_bytes(b"\x89PNG")
    page = results.html_page(
        replace(FOUND, dataset="my <data>"),
        {"videos": "192"},
        [results.Listing(title="Bad", caption="c", header=("Video",), rows=[("<i>.avi",)])],
        replace(NOTHING, notes=["None <at all>."], confusions=[CONFUSION]),
        [results.Figure("Fusion", "a & b", image)],
    )
    assert "<h1>my &lt;data&gt;</h1>" in page
    assert "<dt>videos</dt><dd>192</dd>" in page
    assert "<h3>Bad</h3>" in page and "<td>&lt;i&gt;.avi</td>" in page
    assert "60.0 ± 10.0" in page
    assert page.count('class="headline first-combination"') == 1
    assert "a &amp; b" in page
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert sources == ["data:image/jpeg;base64,/9j/", "data:image/png;base64,iVBORw=="]
    assert "None &lt;at all&gt;." in page and "<h4>&lt;a&gt; → b: 2 of 3</h4>" in page
    assert page.count('class="none"') == 1  # the clip without a picture
    assert "http" not in page and "not run" not in page.lower()


def test_html_page_refuses_a_figure_that_is_not_there(tmp_path):
    figures = [results.Figure("t", "c", tmp_path / "none.png")]
    with pytest.raises(FileNotFoundError, match=r"none\.png"):
        results.html_page(FOUND, {}, [], NOTHING, figures)

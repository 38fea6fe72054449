"""Tables of results: for a terminal and in Markdown."""

from dataclasses import replace

from result_rows import FOUND, RGB, SPLITS, row

from stages.reporting import published, result_tables
from stages.reporting.result_tables import mean_text, percent
from stages.reporting.results import Results
from stages.reporting.tested import VideoCounts

NOTE = (
    "100 test videos (50, 50 in the splits). 95 %: Wilson's interval for so many, as if each were "
    "a draw of its own. Clips of one scene are right or wrong together, so it is rather too narrow."
)


def test_tables_of_a_terminal() -> None:
    """The table by tag has a column per tag, and a dash where none was tested."""
    assert result_tables.text_tables(FOUND).splitlines() == [
        "                     mean       95 %  split 1  split 2  top-1  top-5",
        "────────────────────────────────────────────────────────────────────",
        "rgb           60.0 ± 10.0  50.2–69.1     50.0     70.0   60.0  100.0",
        "flow           60.0 ± 0.0  50.2–69.1     60.0     60.0   60.0  100.0",
        "",
        "two_stream *   85.0 ± 5.0  76.7–90.7     80.0     90.0   85.0  100.0",
        "",
        "              pan (20)  motion (10)",
        "───────────────────────────────────",
        "rgb               30.0         40.0",
        "flow                 –            –",
        "",
        "two_stream *         –            –",
        "",
        "two_stream: rgb + 1.5 flow",
        "",
        NOTE,
    ]


def test_the_baseline_comes_last_and_apart_and_is_no_modality() -> None:
    splits = {k: {**rows, "baseline": row(0.7)} for k, rows in SPLITS.items()}
    found = replace(FOUND, splits=splits)
    assert found.modalities == ["rgb", "flow"]
    lines = result_tables.text_tables(found).splitlines()
    assert lines[4:8] == [
        "",
        "two_stream *   85.0 ± 5.0  76.7–90.7     80.0     90.0   85.0  100.0",
        "",
        "baseline       70.0 ± 0.0  60.4–78.1     70.0     70.0   70.0  100.0",
    ]
    assert lines[-1].endswith("two_stream beats it: +15.0 points.")
    assert "| *baseline* | *70.0 ± 0.0* |" in result_tables.markdown_table(found)
    worse = replace(found, headline="flow", wanted="flow")
    assert worse.notes[-1].endswith("flow does not beat it: -10.0 points.")


def test_one_split_needs_no_mean() -> None:
    tested = replace(FOUND.tested, splits={2: 100})
    found = replace(FOUND, splits={2: SPLITS[2]}, tested=tested)
    table = result_tables.result_table(found, FOUND.descriptions)
    assert table.header == ["", "split 2", "95 %", "top-1", "top-5"]
    assert table.rows[0] == ["rgb", "70.0", "60.4–78.1", "70.0", "100.0"]
    assert table.rows[2][:2] == ["two_stream: rgb + 1.5 flow", "90.0"]
    assert result_tables.tested_note(tested).startswith("100 test videos. 95 %: ")


def test_of_six_clips_there_are_no_tenths_of_a_percent() -> None:
    """4 of 6 is anything from 30 to 90 %."""
    tested = VideoCounts(splits={1: 6}, classes={"a": 3, "b": 3}, tags={})
    splits = {1: {"rgb": row(2 / 3)}}
    found = replace(FOUND, splits=splits, weights={"rgb": RGB}, headline="rgb", tested=tested)
    (texts,) = result_tables.result_table(found, {"rgb": "rgb"}).rows
    assert texts == ["rgb", "67", "30–90", "67", "100"]
    assert "They are too few for decimals." in result_tables.text_tables(found)
    assert (percent(None), percent(2 / 3), percent(2 / 3, few=True)) == ("–", "66.7", "67")
    assert mean_text(replace(row(0.5), spread=0.1), several=True, few=True) == "50 ± 10"


def test_one_modality_alone_is_its_own_headline_and_what_is_not_run_is_said() -> None:
    alone = Results(
        dataset="d",
        splits={2: {"rgb": row(0.7)}},
        weights={"rgb": RGB},
        headline="rgb",
        wanted="two_stream",
        not_run={"two_stream": "flow is not among modalities"},
        published={},
        learned={},
        tested=replace(FOUND.tested, splits={2: 100}),
    )
    assert result_tables.text_tables(alone) == (
        "       split 2       95 %  top-1  top-5\n"
        "───────────────────────────────────────\n"
        "rgb *     70.0  60.4–78.1   70.0  100.0\n"
        "\n"
        f"{NOTE.replace(' (50, 50 in the splits)', '')}\n"
        "\n"
        "Not run: two_stream (flow is not among modalities).\n"
        "\n"
        "The result is rgb: the recipe's, two_stream, is not run.\n"
    )
    assert result_tables.markdown_table(alone).count("\nNot run: two_stream (") == 1


def test_markdown_table_compares_with_what_was_published() -> None:
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
    lines = result_tables.markdown_table(found).splitlines()
    assert lines[0] == (
        "|  | mean | 95 % | split 1 | split 2 | split 3 | top-1 | top-5 | published | Δ | setting |"
    )
    assert lines[1] == "| --- |" + " ---: |" * 10
    assert lines[2].endswith("| **100.0** | **85.1** | **+1.0** | **K = 3, project page** |")
    assert lines[3].endswith("| 90.0 | 100.0 | – |  |  |")

"""The page: complete in one file, and what stands on it."""

import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from result_rows import FOUND, PLAIN, SPLITS, row

from stages.reporting import page
from stages.reporting.advice import Advice
from stages.reporting.figures.style import COLOURS, DARK, FUSION_COLOURS, INK, WIDTH
from stages.reporting.figures.training_curves import draw_training_curves
from stages.reporting.page import Figure, Group, Listing, Tile
from stages.reporting.published import PublishedAccuracy
from stages.reporting.strip import Strip
from stages.reporting.tested import VideoCounts

TILES = [
    Tile(picture="data:image/jpeg;base64,/9j/", lines=["1.avi"]),
    Tile(picture="", lines=["2.avi", "split 1"]),
]
CONFUSION = Group(title="<a> → b: 2 of 3", tiles=TILES)


def test_it_is_complete_and_needs_no_other_file(tmp_path: Path) -> None:
    image = tmp_path / "a.png"
    image.write_bytes(b"\x89PNG")
    listing = Listing(title="Bad", caption="c", header=("Video",), rows=[("<i>.avi",)])
    learned = replace(PLAIN.learned, notes=["None <at all>."], confusions=[CONFUSION])
    text = page.html_page(
        replace(
            PLAIN,
            results=replace(FOUND, dataset="my <data>"),
            facts={"videos": "192"},
            listings=[listing],
            learned=learned,
            figures={"fusion": Figure("Fusion", "a & b", image)},
        )
    )
    assert "<h1>my &lt;data&gt;</h1>" in text
    assert "<dt>videos</dt><dd>192</dd>" in text
    assert "<h3>Bad</h3>" in text and "<td>&lt;i&gt;.avi</td>" in text
    assert "85.0 ± 5.0 %</strong>" in text
    assert "95 % interval 76.7–90.7 %; 85 of 100 test videos are right." in text
    assert text.count('class="headline first-combination"') == 2  # by split, and by tag
    assert "a &amp; b" in text
    sources = re.findall(r'(?:src|href)="([^#"]*)"', text)
    assert sources == ["data:,", "data:image/png;base64,iVBORw==", "data:image/jpeg;base64,/9j/"]
    assert "None &lt;at all&gt;." in text and "<h4>&lt;a&gt; → b: 2 of 3</h4>" in text
    assert text.count('class="none"') == 1  # the clip without a picture
    assert "http" not in text and "<script" not in text and "not run" not in text.lower()


def test_of_few_clips_the_count_is_the_headline() -> None:
    tested = VideoCounts(splits={1: 6}, classes={"a": 3, "b": 3}, tags={})
    found = replace(FOUND, splits={1: {"rgb": row(2 / 3)}}, headline="rgb", tested=tested)
    text = page.html_page(replace(PLAIN, results=found, right=4))
    assert "<strong>4 of 6</strong>" in text and "66.7" not in text
    assert "Mean class accuracy 67 %, 95 % interval 30–90 %." in text


def test_the_published_number_of_the_headline_is_beside_it() -> None:
    known = {"two_stream": PublishedAccuracy(0.851, "K = 3, project page")}
    text = page.html_page(replace(PLAIN, results=replace(FOUND, published=known)))
    assert "(published: 85.1 %, K = 3, project page)" in text


def test_the_mean_is_the_first_column_and_a_row_has_its_colour() -> None:
    splits = {k: {**rows, "baseline": row(0.7)} for k, rows in SPLITS.items()}
    text = page.html_page(replace(PLAIN, results=replace(FOUND, splits=splits)))
    headers = re.findall(r'<th scope="col">([^<]*)</th>', text)
    assert headers[:4] == ["", "mean", "95 %", "split 1"]
    assert f'style="--key: {COLOURS["rgb"]}">rgb</th>' in text
    fused = page.colour_variable(FUSION_COLOURS[0])
    assert f'style="--key: {fused}">two_<wbr>stream<small>rgb + 1.5 flow</small></th>' in text
    assert text.count('class="baseline ') == 2  # by split, and by tag


def test_advice_a_strip_and_a_link_are_shown_where_there_are_any() -> None:
    strip = Strip(caption="clip", starts=[1, 7], frames=[], rows=[("a", [0, 90]), ("<b>", [40, 3])])
    text = page.html_page(
        replace(
            PLAIN,
            advice=Advice(sentences=["flow is better.", "Beware."], lines="fusion:\n  headline: f"),
            strip=strip,
            tags={"pan": "the camera pans"},
            making=replace(
                PLAIN.making, facts={"MLflow": "experiment d"}, link="http://h/#/e/1?f=2"
            ),
        )
    )
    assert "<p>flow is better.</p>\n<pre>fusion:\n  headline: f</pre>\n<p>Beware.</p>" in text
    assert '<td style="--s: 0"></td>\n<td class="strong" style="--s: 90">90</td>' in text
    assert '<a href="http://h/#/e/1?f=2">the run</a>' in text
    assert "<li><b>pan</b>: the camera pans</li>" in text
    assert "&lt;b&gt;" in text


def test_a_figure_stands_in_the_page_in_its_colours(tmp_path: Path) -> None:
    import pandas as pd

    log = pd.DataFrame(
        {"iteration": [1, 2], "loss": [2, 1], "accuracy": [0, 1], "lr": [0.05, 5e-4]}
    )
    draw_training_curves({"rgb": log}, tmp_path / "a.svg")
    found = page.picture(Figure('a "b"', "", tmp_path / "a.svg"))
    start = '<svg role="img" aria-label="a &quot;b&quot;" style="min-width: {}px" viewBox="0 0 '
    assert found.startswith(start.format(0))
    wide = page.picture(Figure('a "b"', "", tmp_path / "a.svg", wide=True))
    assert wide.startswith(start.format(round(72 * WIDTH)))
    assert COLOURS["rgb"].lower() in found
    assert f"var(--c-{INK[1:].lower()}, {INK.lower()})" in found
    assert '<g id="' not in found and "metadata" not in found and "http://www.w3" in found
    assert ">0.05</text>" in found and ">0.0005</text>" in found and "mathdefault" not in found


def test_what_changes_on_a_dark_page_has_a_colour_there() -> None:
    text = page.html_page(PLAIN)
    dark = text.partition("@media (prefers-color-scheme: dark)")[2]
    assert all(f"{page.variable_name(light)}: {colour};" in dark for light, colour in DARK.items())
    assert page.colour_variable("#123456") == "#123456"


def test_a_large_picture_becomes_a_small_one(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (300, 2 * page.WIDEST, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), noise)
    found = page.data_uri(tmp_path / "a.png", small=True)
    assert found.startswith("data:image/jpeg;base64,")
    assert len(found) < (tmp_path / "a.png").stat().st_size / 3
    assert page.data_uri(tmp_path / "a.png").startswith("data:image/png;base64,iVBOR")


def test_a_figure_that_is_not_there_is_refused(tmp_path: Path) -> None:
    for name in ("none.png", "none.svg"):
        figures = {"fusion": Figure("t", "c", tmp_path / name)}
        with pytest.raises(FileNotFoundError, match=name.replace(".", r"\.")):
            page.html_page(replace(PLAIN, figures=figures))

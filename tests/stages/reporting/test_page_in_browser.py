"""The report in a browser: as wide as a phone and as a screen, light and dark."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from result_rows import FOUND, PLAIN

from stages.reporting.figures.confusion_matrix import draw_confusion_matrix
from stages.reporting.figures.fusion_bars import draw_fusion_bars
from stages.reporting.figures.per_class_bars import draw_per_class_bars
from stages.reporting.page import Figure, html_page
from stages.reporting.strip import Strip

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on the PATH"),
]
LEAST, USUAL = 7.0, 8.5  # pixels of a figure's letters: of numbers in matrices, of most


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("report")
    names = ("fusion", "classes", "confusion")
    figures = {name: Figure(name, "caption", folder / f"{name}.svg") for name in names}
    draw_fusion_bars(FOUND, figures["fusion"].path)
    rows = {"rgb": [0.5, 0.7], "flow": [0.6, 0.6]}
    draw_per_class_bars(rows, ["a", "b"], figures["classes"].path)
    draw_confusion_matrix(np.eye(2, dtype=int), ["a", "b"], figures["confusion"].path)
    strip = Strip(caption="", starts=range(25), frames=[], rows=[("a", [50] * 25)])
    text = html_page(replace(PLAIN, figures=figures, strip=strip))
    (folder / "index.html").write_text(text, encoding="utf-8")
    return (folder / "index.html").as_uri()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def open_page(browser: Any, address: str, width: int, scheme: str) -> Any:
    """Return the page; an error, or a request for anything else, fails the test."""
    page = browser.new_page(viewport={"width": width, "height": 844}, color_scheme=scheme)
    asked: list[str] = []
    page.on("console", lambda message: asked.append(message.text))
    page.on("pageerror", lambda error: asked.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address)
    assert [text for text in asked if text != address and not text.startswith("data:")] == []
    return page


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_the_mean_first_and_figures_that_can_be_read(
    browser: Any, address: str, scheme: str
) -> None:
    page = open_page(browser, address, 390, scheme)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    mean = page.locator("th", has_text="mean").first.bounding_box()
    assert mean["x"] > 0 and mean["x"] + mean["width"] <= 390
    sizes = page.evaluate(
        """() => [...document.querySelectorAll("figure text")].map(text => {
          const {a, b} = text.getScreenCTM();
          return parseFloat(getComputedStyle(text).fontSize) * Math.hypot(a, b);
        })"""
    )
    assert len(sizes) > 20
    assert min(sizes) >= LEAST and np.median(sizes) >= USUAL


def test_a_dark_page_has_light_letters_in_its_figures(browser: Any, address: str) -> None:
    """And nothing white below them; a light page has it the other way round."""
    brightness: dict[str, list[int]] = {}
    for scheme in ("light", "dark"):
        page = open_page(browser, address, 1280, scheme)
        brightness[scheme] = page.evaluate(
            """() => {
              const sum = colour => colour.match(/\\d+/g).slice(0, 3).map(Number)
                .reduce((a, b) => a + b);
              const title = document.querySelector("figure svg text");
              return [sum(getComputedStyle(title).fill),
                      sum(getComputedStyle(title.closest(".card")).backgroundColor)];
            }"""
        )
        white = "path[style*='fill: #ffffff'], rect[style*='fill: #ffffff']"
        assert page.locator(f"figure {white}").count() == 0
    (dark_ink, dark_ground), (ink, ground) = brightness["dark"], brightness["light"]
    assert dark_ink - dark_ground > 400 and ground - ink > 400

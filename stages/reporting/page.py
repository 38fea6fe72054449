"""The report as one HTML document: no other file, no script, no network, so it can be mailed."""

import base64
import html
import mimetypes
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2

from stages.reporting.figures.style import DARK, SHARE, colour_series
from stages.reporting.result_tables import (
    interval_text,
    mean_text,
    percent,
    result_table,
    tag_result_table,
    tested_note,
)
from stages.reporting.results import Results

if TYPE_CHECKING:
    from stages.reporting.advice import Advice
    from stages.reporting.learned import Learned
    from stages.reporting.making import Making
    from stages.reporting.strip import Strip

TEMPLATE = Path(__file__).with_name("report.html.j2")
WIDEST = 1200  # pixels of a picture on the page
QUALITY = 80  # of its JPEG
COLOUR = re.compile(r"#[0-9a-fA-F]{6}\b")


@dataclass(frozen=True)
class Figure:
    """A picture of the page: an SVG stands in its text, in the page's colours; others are made
    JPEGs. A `wide` one is not shrunk to a phone's width but scrolled."""

    title: str
    caption: str
    path: Path
    wide: bool = False


@dataclass(frozen=True, kw_only=True)
class Listing:
    """A table of texts on the page."""

    title: str
    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, kw_only=True)
class Tile:
    """A clip on the page: its picture ("" where there is none) and lines of text."""

    picture: str
    lines: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Group:
    """Clips side by side, under a title."""

    title: str
    tiles: Sequence[Tile]


@dataclass(frozen=True, kw_only=True)
class Page:
    """What the page shows beside the results. `right` is how many tests the headline passes,
    `figures` are by the place that the template has for them, `tags` says what they mean."""

    results: Results
    right: int
    advice: "Advice | None"
    tags: Mapping[str, str]
    facts: Mapping[str, str]
    listings: Sequence[Listing]
    gallery: Sequence[Tile]
    learned: "Learned"
    strip: "Strip | None"
    making: "Making"
    figures: Mapping[str, Figure]


def html_page(page: Page) -> str:
    """Return the document. Raises FileNotFoundError for a figure that is not there."""
    import jinja2

    results = page.results
    mean, several = results.mean[results.headline], len(results.splits) > 1
    published = results.published.get(results.headline)
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        page=page,
        results=results,
        mean=mean_text(mean, several=several, few=results.tested.few),
        interval=interval_text(mean.mean_class_accuracy, results.tested),
        tests=sum(results.tested.splits.values()),
        published=percent(published.accuracy) if published else None,
        table=result_table(results, results.descriptions),
        tags=tag_result_table(results),
        notes=[tested_note(results.tested), *results.notes],
        colours={n: colour_variable(c) for n, c in colour_series(list(results.mean)).items()},
        share=SHARE,
        dark={variable_name(light): dark for light, dark in DARK.items()},
        figures={place: picture(figure) for place, figure in page.figures.items()},
    )


def picture(figure: Figure) -> str:
    """Return a figure as HTML: inline SVG, or an image."""
    label = html.escape(figure.title, quote=True)
    if figure.path.suffix == ".svg":
        return inline_svg(figure.path.read_text(encoding="utf-8"), label, wide=figure.wide)
    return f'<img src="{data_uri(figure.path, small=True)}" alt="{label}">'


def inline_svg(text: str, label: str, *, wide: bool = False) -> str:
    """Return Matplotlib's SVG for the inside of a page: as wide as its place, in its colours. A
    `wide` one is at least as wide as it was drawn."""
    text = text[text.index("<svg") :]
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'<g id="[^"]*"', "<g", text)  # the same in every figure
    text = COLOUR.sub(lambda found: colour_variable(found[0]), text)
    text = text.replace("'DejaVu Sans'", "'DejaVu Sans', Verdana, sans-serif")
    _, _, rest = text.partition("viewBox=")
    width = round(float(rest.split()[2])) if wide else 0
    return f'<svg role="img" aria-label="{label}" style="min-width: {width}px" viewBox={rest}'


def variable_name(colour: str) -> str:
    """Return the name of the page's variable for a colour of a figure."""
    return f"--c-{colour[1:].lower()}"


def colour_variable(colour: str) -> str:
    """Return a colour `#RRGGBB` that the page may change where it is dark."""
    known = {light.lower() for light in DARK}
    return f"var({variable_name(colour)}, {colour})" if colour.lower() in known else colour


def data_uri(path: Path, *, small: bool = False) -> str:
    """Return a file as an address; a small one is a JPEG of at most `WIDEST` pixels."""
    data, (kind, _) = path.read_bytes(), mimetypes.guess_type(path.name)
    image = cv2.imread(str(path)) if small else None
    if image is not None:
        scale = min(WIDEST / image.shape[1], 1.0)
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()
        data, kind = min((data, kind), (encoded, "image/jpeg"), key=lambda pair: len(pair[0]))
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"

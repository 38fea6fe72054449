"""Colours on a terminal, and none in a pipe or a file, or where NO_COLOR asks for none."""

import os
from typing import TextIO

CODES = {"bold": 1, "faint": 2, "red": 31, "green": 32, "yellow": 33}  # of ANSI


def has_colours(stream: TextIO) -> bool:
    """Return whether a stream shows colours: https://no-color.org."""
    wanted = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return wanted and stream.isatty()


def styled(text: str, style: str, stream: TextIO) -> str:
    """Return a text as `stream` shows it in a style of CODES."""
    return f"\x1b[{CODES[style]}m{text}\x1b[0m" if has_colours(stream) else text

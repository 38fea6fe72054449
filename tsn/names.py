"""Names that people gave to files, folders and classes: which are taken, how they are compared."""

import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence

LONGEST = 255 - len(".zip")  # bytes: what is extracted of a video is a file of its name and these
NOT_UTF8 = "its name is not UTF-8; rename it"
# Spaces, and characters without a width that Unicode has in normalised names, too.
_NOT_SEEN = re.compile(
    "[\\s\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\U000e0000-\U000e0fff]"
)


def name_problem(name: str) -> str:
    """Return why a file or folder of that name cannot be taken, "" if it can."""
    if not is_utf8(name):
        return NOT_UTF8
    if has_control(name):
        return "its name has a control character; rename it"
    if (size := len(name.encode())) > LONGEST:
        return f"its name has {size} bytes, at most {LONGEST} can be; rename it"
    return ""


def has_control(name: str) -> bool:
    """Return whether a name has a line break, or another character that is none to read."""
    return any(unicodedata.category(character) in ("Cc", "Zl", "Zp") for character in name)


def is_utf8(name: str) -> bool:
    """Return whether a name can be written as UTF-8: that of a file may be any bytes."""
    return not any("\ud800" <= character <= "\udfff" for character in name)


def shown(name: object) -> str:
    """Return a name or path as it can be printed in a line: what cannot be is escaped."""
    text = os.fsencode(str(name)).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def first_few(names: Sequence[str], most: int) -> str:
    """Return the first names, and how many more there are: `a, b and 3 more`."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def normal(name: str) -> str:
    """Return a name in one form: disks and lists write an é as one character, or as two."""
    return unicodedata.normalize("NFC", name)


def same_name(name: str, names: Collection[str]) -> str | None:
    """Return which of `names` is this one, however its letters are encoded; None if none is."""
    if name in names:
        return name
    return next((other for other in names if normal(other) == normal(name)), None)


def spellings(name: str) -> tuple[str, ...]:
    """Return a name as it is, and in the two forms that disks and lists have names in."""
    return (name, normal(name), unicodedata.normalize("NFD", name))


def folded(name: str) -> str:
    """Return what a name has in common with those that a reader takes for the same."""
    return _NOT_SEEN.sub("", unicodedata.normalize("NFKC", name).casefold())


def near_equal(kind: str, names: Iterable[str]) -> list[str]:
    """Return a warning for each set of names that a reader takes for the same. kind: their noun."""
    alike: dict[str, set[str]] = defaultdict(set)
    for name in names:
        alike[folded(name)].add(name)
    return [
        f"{kind} {' and '.join(_written(same))} differ only by case, spaces or what cannot be seen:"
        " they are kept apart; if they are one, give them one name"
        for _, same in sorted(alike.items())
        if len(same) > 1
    ]


def _written(names: Iterable[str]) -> list[str]:
    """Return names in quotes, with escapes where they look alike."""
    ordered = sorted(names)
    look_alike = len(set(map(normal, ordered))) < len(ordered)
    return [ascii(name) if look_alike else repr(name) for name in ordered]

"""Who or where a clip was filmed, guessed from the names that a person gave the files."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

MOST_ALONE = 0.7  # of the clips may be a group of their own before the guess says nothing


@dataclass(frozen=True, kw_only=True)
class GroupGuess:
    """A guess. `pattern` is a `group_pattern` of the recipe, None for clips that stand alone, and
    `groups` are what it finds."""

    pattern: str | None
    why: str
    groups: tuple[str, ...]


# In the order of trust.
PATTERNS = (
    (r"(?:^|_)(g\d+)(?=_|\.)", "names have a group number, as UCF101's"),
    (
        r"(?i)(?:^|[_\-. ])((?:person|subject|actor|player|speaker|user|scene)[_-]?\d+)"
        r"(?=[_\-. ])",
        "names have a numbered person or scene",
    ),
    (r"^([^_]+)_", "names begin with what may be a person or a scene, before the first _"),
    (r"^([^-]+)-", "names begin with what may be a person or a scene, before the first -"),
    (r"^(.*?[^\d_\- (])[_\- (]*\d+\)?\.[^.]+$", "names end with a number, after who or where"),
)


def guesses(videos: Iterable[str]) -> Iterator[GroupGuess]:
    """Yield how clips `<class>/<name>` may be grouped by their names, the best guess first.

    A guess gives every name a group, every class at least two, and most groups several clips. The
    last one is that every clip stands alone.
    """
    clips = [PurePosixPath(video) for video in videos]
    for pattern, why in PATTERNS:
        found = {clip: re.search(pattern, clip.name) for clip in clips}
        pairs = {(clip.parts[0], match[1]) for clip, match in found.items() if match}
        if not all(found.values()):
            continue
        groups = {group for _, group in pairs}
        smallest = min(Counter(name for name, _ in pairs).values(), default=0)
        if smallest >= 2 and len(groups) <= MOST_ALONE * len(clips):
            yield GroupGuess(pattern=pattern, why=why, groups=tuple(sorted(groups)))
    yield GroupGuess(
        pattern=None,
        why="no part of the names says who or where it was filmed, so every clip stands alone",
        groups=(),
    )

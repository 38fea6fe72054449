"""The video files that a person names: files, folders of them, patterns."""

import glob
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from tsn.names import shown

# What a folder is looked through for. A file that is named itself may be called anything.
ENDINGS = frozenset(
    (
        *(".3gp", ".asf", ".avi", ".divx", ".dv", ".f4v", ".flv", ".gif", ".m2ts", ".m2v", ".m4v"),
        *(".mjpeg", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".rm"),
        *(".rmvb", ".ts", ".vob", ".webm", ".wmv", ".y4m"),
    )
)


def find_videos(named: Sequence[Path]) -> dict[Path, str]:
    """Return the files that are named, in that order, each once, with why one cannot be recognised.

    Of a folder, all below it that end as videos do, sorted, but nothing hidden. Of a pattern that
    is no file's name (`clips/**/*.mp4`), what it fits. A folder or a pattern without a video stands
    for itself, with a reason; nothing else is looked at.
    """
    found: dict[Path, str] = {}
    for name in named:
        if name.is_dir():
            files = [path for path in sorted(name.rglob("*")) if _is_video(path, name)]
            why = "no videos in this folder, nor below it"
        elif glob.has_magic(_as_typed(name)) and not name.exists():
            fit = sorted(Path(path) for path in _fitting(name))
            files, why = [path for path in fit if path.is_file()], "no file fits this pattern"
        else:
            files, why = [name], ""
        found |= dict.fromkeys(files, "") if files else {name: why}
    return found


def refuse_same_names(videos: Iterable[Path], made: str, option: str) -> None:
    """Raise ValueError for two videos of one name: what is made of them would have one, too."""
    twice = [name for name, count in Counter(video.name for video in videos).items() if count > 1]
    if twice:
        raise ValueError(
            f"several videos are called {shown(twice[0])}, and so would be their {made}; "
            f"recognise them one by one, with another {option}"
        )


def _as_typed(name: Path) -> str:
    """Return a name as seen from here: brackets in this folder's own name are no pattern."""
    with suppress(ValueError):
        return str(name.relative_to(Path.cwd()))
    return str(name)


def _fitting(pattern: Path) -> list[str]:
    """Return what fits a pattern."""
    inside = _as_typed(pattern)
    here = "" if inside == str(pattern) else f"{glob.escape(str(Path.cwd()))}/"
    return glob.glob(f"{here}{inside}", recursive=True)  # noqa: PTH207


def _is_video(path: Path, folder: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
    return path.suffix.lower() in ENDINGS and not hidden and path.is_file()

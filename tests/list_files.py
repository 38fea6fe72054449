"""Published lists of UCF101's kind, and a configuration to split by them."""

from collections.abc import Sequence
from pathlib import Path

from tsn.splits.formats import Counts, SplitConfig

UCF101_GROUPS = r"_g(\d+)_c"
# Class order is the list's, not the alphabet's; UCF101 spells this clip unlike its folder.
UCF101_VIDEOS = [
    *(f"YoYo/v_YoYo_g0{g}_c01.avi" for g in (1, 2, 3)),
    *(f"HandstandPushups/v_HandStandPushups_g0{g}_c01.avi" for g in (1, 2, 3)),
]


def split_config(
    list_format: str,
    *,
    group_pattern: str | None = None,
    splits: int = 1,
    classes: tuple[str, ...] | None = None,
    clips_per_class: int | None = None,
    counts: Counts | None = None,
    promotion_share: float | None = None,
) -> SplitConfig:
    """Return a configuration that keeps leaks, and wants nothing else that is not given."""
    return SplitConfig(
        format=list_format,
        group_pattern=group_pattern,
        splits=splits,
        classes=classes,
        clips_per_class=clips_per_class,
        counts=counts,
        leaks="keep",
        promotion_share=promotion_share,
    )


def write_lists(folder: Path, texts: dict[str, str]) -> Path:
    """Write a file per text in `folder`, and return it."""
    for name, text in texts.items():
        (folder / name).write_text(text)
    return folder


def ucf101_lists(
    folder: Path, *, train: Sequence[str] | None = None, test: Sequence[str] | None = None
) -> Path:
    """Write UCF101's lists of one split: group 1 is tested, unless told otherwise."""
    train = train if train is not None else [v for v in UCF101_VIDEOS if "_g01" not in v]
    test = test if test is not None else [v for v in UCF101_VIDEOS if "_g01" in v]
    labels = {"YoYo": 1, "HandstandPushups": 2}
    return write_lists(
        folder,
        {
            "classInd.txt": "1 YoYo\n2 HandstandPushups\n",
            "trainlist01.txt": "".join(
                f"{v}\n" if v[-1].isdigit() else f"{v} {labels.get(v.split('/')[0], 9)}\n"
                for v in train
            ),
            "testlist01.txt": "".join(f"{v}\n" for v in test),
        },
    )

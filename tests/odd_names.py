"""A dataset with names as HMDB51's and worse, of clips and classes."""

from pathlib import Path

from videos import vivid_frames, write_video

CLASSES = ("100% #1 (a+b) [x]", "März & Co., l'été", "US$ 5_brush hair_$10")
CLIPS = (
    "#122_Fencing_4_fence_u_cm_np1_ri_med_2.avi",
    "Best!_(of)_[all]~times;&more_@home+1.avi",
    'it\'s "quoted", 50%25 {b} ^ `c` $HOME $(d).avi',
    "-o --help = ünï_çødé_剣道_ё.avi",
    "two  spaces <i>&amp; | * ? : \\ .part.avi",
    "@list.avi",
)
BROKEN = f"{CLASSES[0]}/it's [cut], 100%;.avi"


def write_dataset(inbox: Path) -> None:
    """Every clip in every class; what split 1 trains on, split 2 tests."""
    (inbox / "lists").mkdir(parents=True)
    frames = vivid_frames(8 * len(CLASSES) * len(CLIPS), 64, 48)
    for label, name in enumerate(CLASSES):
        (inbox / "videos" / name).mkdir(parents=True)
        for clip in CLIPS:
            shown, frames = frames[:8], frames[8:]
            # OpenCV takes a % of a name for the place of a number.
            write_video(inbox / "plain.avi", shown, "MJPG")
            (inbox / "plain.avi").rename(inbox / "videos" / name / clip)
        for split in (1, 2):
            lines = [f"{clip} {1 + (i + label + split) % 2}" for i, clip in enumerate(CLIPS)]
            lines += [f"{Path(BROKEN).name} 1"] if BROKEN.startswith(name) else []
            text = "".join(f"{line} \n" for line in lines)
            (inbox / f"lists/{name}_test_split{split}.txt").write_text(text, encoding="utf-8")
    (inbox / "videos" / BROKEN).write_bytes(b"RIFF, and no more")


def clips_tested(split: int) -> list[str]:
    """The test list of `write_dataset`: in each class the other half than in the class before."""
    return [
        f"{name}/{clip}"
        for label, name in enumerate(CLASSES)
        for clip in CLIPS[(label + split + 1) % 2 :: 2]
    ]


# Classes that a reader of tables or of YAML could take for something else.
MISREAD = ("None", "NA", "nan", "null", "007", "7", "true", "1e5", "~")

"""Clips of what is annotated in untrimmed videos, to train on."""

from dataclasses import dataclass
from pathlib import Path

from stages.runtime.command import progress
from stages.runtime.machine import read_machine
from tsn.names import shown
from tsn.sources.folder import first_of, tell_left_out
from tsn.untrimmed.annotations import read_annotations
from tsn.untrimmed.cut import annotated_clips, cut_clips, write_clip_list


@dataclass(frozen=True, kw_only=True)
class Options:
    """videos: a folder of `<id>.<ending>`. annotations: a JSON file of ActivityNet's form, or
    THUMOS14's folder of texts. train, test: the subsets of each side. out: where clips go."""

    videos: Path
    annotations: Path
    train: tuple[str, ...]
    test: tuple[str, ...]
    out: Path


def main(options: Options) -> None:
    machine = read_machine()
    if both := set(options.train) & set(options.test):
        raise ValueError(f"{', '.join(both)} is in --train and in --test; they are different")
    sides = dict.fromkeys(options.train, "train") | dict.fromkeys(options.test, "test")
    annotated = read_annotations(options.annotations)
    clips, missing = annotated_clips(options.videos, annotated, sides)
    cut = cut_clips(clips, options.out, machine.workers, machine.reading)
    made, left_out = [], {}
    for clip, problem in progress(cut, total=len(clips), unit="clip", text="cut"):
        if problem:
            left_out[str(clip)] = problem
        else:
            made.append(clip)
    tell_left_out(left_out)
    if not made:
        raise ValueError(f"{shown(options.videos)}: no clip could be made{first_of(left_out)}")
    path = write_clip_list(made, options.out)
    print(
        f"{len(made)} clips of {len({clip.video for clip in made})} videos in {shown(path.parent)}"
    )
    if missing:
        print(f"  annotated videos that are not there: {len(missing)} ({', '.join(missing[:3])})")
    print(f"  a dataset of them     tsn new NAME --videos {shown(path)}")

"""What the networks have learned, by the test clips of every split: which classes they mix up, of
which clips they are surest, and what fusion gives each class."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stages.reporting.page import Group, Tile
from stages.reporting.result_tables import Table
from stages.reporting.results import is_combination
from tsn.metrics import Scores
from tsn.scoring.fusion import weighted_sum
from tsn.scoring.scores import VideoScores

MOST_PAIRS = 10
CLIPS_OF_PAIR = 3
SUREST = 6
MOST_CLASSES = 20  # of a listing: half of them gain most, half least


@dataclass(frozen=True, kw_only=True)
class JudgedClip:
    """A test clip and what it was taken for. `margin` is by how much that class's score is above
    the next one's, before softmax."""

    split: int
    video: str
    truth: str
    taken: str
    margin: float

    @property
    def right(self) -> bool:
        """Return whether it was taken for what it is."""
        return self.truth == self.taken


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """Clips of a class that were taken for another one, surest first, of `total` of the class."""

    truth: str
    taken: str
    clips: Sequence[JudgedClip]
    total: int


@dataclass(frozen=True, kw_only=True)
class Gains:
    """What fusion gives each class."""

    caption: str
    table: Table


@dataclass(frozen=True, kw_only=True)
class Learned:
    """The section of the page. `notes` say what there is nothing to show of; without `gains`,
    nothing is fused."""

    gains: Gains | None
    confusions: Sequence[Group]
    surest: Sequence[Group]
    notes: Sequence[str]


def section(
    clips: Sequence[JudgedClip], gains: Gains | None, picture: Callable[[str], str]
) -> Learned:
    """Return the section; `picture` gives a video's, as a page holds it."""

    def group(title: str, members: Sequence[JudgedClip], *, tell: bool) -> Group:
        tiles = []
        for clip in members:
            taken = [f"{clip.truth} → {clip.taken}" if not clip.right else clip.truth]
            lines = [*(taken if tell else ()), clip.video.rpartition("/")[2]]
            lines.append(f"split {clip.split}, margin {clip.margin:.2f}")
            tiles.append(Tile(picture=picture(clip.video), lines=lines))
        return Group(title=title, tiles=tiles)

    confusions = [
        group(
            f"{pair.truth} → {pair.taken}: {len(pair.clips)} of {pair.total}",
            pair.clips[:CLIPS_OF_PAIR],
            tell=False,
        )
        for pair in most_confused(clips)
    ]
    wrong, right = surest(clips, right=False), first_of_each(surest(clips, right=True))
    kinds = (("Surest and wrong", wrong), ("Surest and right, a clip of each class", right))
    notes = [
        *([] if wrong else ["No test clip was taken for another class."]),
        *([] if right else ["No test clip was taken for what it is."]),
    ]
    return Learned(
        gains=gains,
        confusions=confusions,
        surest=[group(title, kind[:SUREST], tell=True) for title, kind in kinds if kind],
        notes=notes,
    )


def judge(split: int, scores: Scores, cell: VideoScores) -> list[JudgedClip]:
    """Return what each video of a cell was taken for by these scores (V, C), C at least 2."""
    order = np.argsort(-scores, axis=1, kind="stable")[:, :2]
    best, second = np.take_along_axis(scores, order, axis=1).T
    return [
        JudgedClip(
            split=split,
            video=video,
            truth=cell.classes[label],
            taken=cell.classes[first],
            margin=float(margin),
        )
        for video, label, first, margin in zip(
            cell.videos, cell.labels, order[:, 0], best - second, strict=True
        )
    ]


def most_confused(clips: Sequence[JudgedClip]) -> list[Confusion]:
    """Return the pairs of classes that are mixed up most often, at most `MOST_PAIRS`."""
    pairs: dict[tuple[str, str], list[JudgedClip]] = {}
    for clip in surest(clips, right=False):
        pairs.setdefault((clip.truth, clip.taken), []).append(clip)
    found = [
        Confusion(
            truth=truth,
            taken=taken,
            clips=members,
            total=sum(clip.truth == truth for clip in clips),
        )
        for (truth, taken), members in pairs.items()
    ]
    return sorted(found, key=lambda pair: (-len(pair.clips), pair.truth, pair.taken))[:MOST_PAIRS]


def surest(clips: Sequence[JudgedClip], *, right: bool) -> list[JudgedClip]:
    """Return the clips that were taken for what they are, or those that were not, surest first."""
    found = [clip for clip in clips if clip.right == right]
    return sorted(found, key=lambda clip: (-clip.margin, clip.video, clip.split))


def first_of_each(clips: Sequence[JudgedClip]) -> list[JudgedClip]:
    """Return the first clip of every class, in their order."""
    firsts: dict[str, JudgedClip] = {}
    for clip in clips:
        firsts.setdefault(clip.truth, clip)
    return list(firsts.values())


def fusion_gains(
    accuracies: Mapping[str, npt.NDArray[np.floating]],
    classes: Sequence[str],
    headline: str,
    counts: Mapping[str, int],
) -> Gains | None:
    """Return the accuracy of every class by each modality and the headline, by what fusion gains.

    accuracies: per class, of the modalities and the headline. counts: of the test videos of each
    class: one without any is left out. The gain is over the modality that is best over all classes.
    Of many classes, those that gain and those that lose most are listed; None where nothing is
    fused.
    """
    if not is_combination(headline):
        return None
    modalities = [name for name in accuracies if name != headline]
    best = max(modalities, key=lambda name: float(np.nanmean(accuracies[name])))
    gains = accuracies[headline] - accuracies[best]
    order = np.argsort(-gains, kind="stable")
    order = order[~np.isnan(gains[order])]
    listed = ""
    if len(order) > MOST_CLASSES:
        half = MOST_CLASSES // 2
        order = np.concatenate([order[:half], order[-half:]])
        listed = f" The {half} that gain most are listed, and the {half} that gain least."
    names = [*modalities, headline]
    rows = [
        [
            classes[place],
            str(counts[classes[place]]),
            *(f"{100 * accuracies[name][place]:.1f}" for name in names),
            f"{100 * gains[place]:+.1f}",
        ]
        for place in order
    ]
    return Gains(
        caption=f"Accuracy per class in %, mean over the splits; the gain is that of {headline} "
        f"over {best}, the best modality. {(gains > 0).sum()} of {len(order)} classes gain, "
        f"{(gains < 0).sum()} lose.{listed}",
        table=Table(
            header=["", "videos", *names, "gain"],
            rows=rows,
            singles=len(rows),
            headline=None,
            baseline=None,
        ),
    )


def snippet_shares(
    cells: Mapping[str, VideoScores], weights: Mapping[str, float]
) -> npt.NDArray[np.floating]:
    """Return the fused probabilities (V, S, C) of every video's test snippets.

    Snippet s of every modality begins at about the same moment.
    """
    scores = weighted_sum({name: cells[name].snippets for name in weights}, weights)
    shares = np.exp(scores - scores.max(axis=2, keepdims=True))
    return np.asarray(shares / shares.sum(axis=2, keepdims=True))


def most_changing(shares: npt.NDArray[np.floating]) -> int:
    """Return the video (of V, S, C) whose snippets are taken for most different classes.

    Of several, the one whose probabilities change most.
    """
    taken = shares.argmax(axis=2)
    kinds = [len(set(row.tolist())) for row in taken]
    change = np.abs(np.diff(shares, axis=1)).sum(axis=(1, 2))
    return max(range(len(shares)), key=lambda video: (kinds[video], float(change[video])))

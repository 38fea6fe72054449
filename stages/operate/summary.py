"""What came out of a run in a few lines: the result, how sure it is, where to look, what next."""

import sys
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stages.operate.clips import taken_clips, thin_classes
from stages.operate.cost import cells_of, counted, quick_cells, seconds_of, spoken
from stages.reporting.result_tables import percent
from stages.reporting.results import (
    CONFUSION_TABLE,
    Row,
    accuracy_gain,
    is_combination,
    is_modality,
    read_rows,
)
from stages.reporting.tested import wilson_interval, worth
from stages.runtime import params
from stages.runtime.machine import count_cores
from stages.runtime.places import DatasetPaths
from stages.runtime.terminal import styled
from tsn.files import read_csv
from tsn.lists import read_splits
from tsn.scoring.fusion import FusionConfig
from tsn.scoring.scores import BASELINE, load_scores

WIDTH = 83  # of text beside its title
PAIRS = 2  # of classes that are mixed up
WIDE = 0.2  # an interval that says little
WEIGHTS = {"pretext": "weights of a generated task", "checkpoints": "weights of a trained network"}


@dataclass(frozen=True, kw_only=True)
class Answers:
    """Test clips of all splits, their classes, and what each was taken for."""

    clips: Sequence[str]
    actual: Sequence[str]
    taken: Sequence[str]

    @property
    def count(self) -> int:
        """Return how many clips were tested; one that several splits test counts once."""
        return len(set(self.clips))

    @property
    def interval(self) -> tuple[float, float]:
        """Return the 95 % interval of the mean class accuracy that so many clips allow."""
        classes = Counter(dict(zip(self.clips, self.actual, strict=True)).values())
        return wilson_interval(self.mean_class_accuracy, worth(classes.values()))

    @property
    def mean_class_accuracy(self) -> float:
        """Return the mean over classes of the share of clips that are taken for what they are."""
        totals = Counter(self.actual)
        right = Counter(a for a, t in zip(self.actual, self.taken, strict=True) if a == t)
        return sum(right[name] / totals[name] for name in totals) / len(totals)


def summary(dataset: str) -> list[str]:
    """Return lines on the result of a dataset; none where it has none."""
    modalities = params.section(params.load(), "modalities", tuple[str, ...])
    splits = params.section(params.load(), "splits", tuple[int, ...])
    fusion = params.section(params.load_recipe(dataset), "fusion", FusionConfig)
    headline, paths = fusion.headline_of(modalities), DatasetPaths(dataset)
    try:
        mean = read_rows(paths.mean)
        tables = [paths.plots / str(split) / CONFUSION_TABLE for split in splits]
        columns = ("video", "actual", "predicted")
        rows = [row for path in tables for row in read_csv(path, columns)]
        clips, actual, taken = ([row[name] for row in rows] for name in columns)
        answers = Answers(clips=clips, actual=actual, taken=taken)
        result = mean[headline]
    except (FileNotFoundError, KeyError):  # of other modalities or splits than these
        return []
    lines = {
        "result": describe_result(headline, result.mean_class_accuracy, answers),
        "beside it": describe_others(mean, headline),
        **describe_pairs(answers),
        "look": f"{paths.report}/index.html; `tsn ui` has the runs",
        "use": f"`tsn recognise clip.mov`, `tsn promote {dataset}`, `tsn serve {dataset}`",
        **next_steps(dataset, headline, mean, answers),
    }
    return listed(lines)


def listed(lines: Mapping[str, str]) -> list[str]:
    """Return lines behind what they are about, which is bold on a terminal."""
    found = []
    for name, text in lines.items():
        first, *others = textwrap.wrap(text, WIDTH, break_long_words=False, break_on_hyphens=False)
        found.append(f"  {styled(f'{name:14}', 'bold', sys.stdout)} {first}")
        found += [f"{'':17}{line}" for line in others]
    return found


def describe_result(name: str, accuracy: float, answers: Answers) -> str:
    """Return a result in words, with the interval that its test clips allow."""
    low, high = answers.interval
    return (
        f"{name} {percent(accuracy)} % mean class accuracy (95 % interval {100 * low:.0f} to "
        f"{100 * high:.0f} %, {answers.count} test clips; chance is "
        f"{100 / len(set(answers.actual)):.0f} %)"
    )


def describe_others(mean: Mapping[str, Row], headline: str) -> str:
    """Return the best single stream and the baseline in words."""
    streams = {name: row for name, row in mean.items() if is_modality(name) and name != headline}
    found = []
    if streams:
        best = max(streams, key=lambda name: streams[name].mean_class_accuracy)
        found.append(f"best stream {best} {percent(streams[best].mean_class_accuracy)} %")
    if BASELINE in mean and headline != BASELINE:
        found.append(f"baseline, without training, {percent(mean[BASELINE].mean_class_accuracy)} %")
    return "; ".join(found) or "nothing else was run"


def mixed_up(answers: Answers) -> list[tuple[str, str, int]]:
    """Return pairs of a class and what its clips were taken for, most clips first."""
    pairs = Counter((a, t) for a, t in zip(answers.actual, answers.taken, strict=True) if a != t)
    return [(actual, taken, count) for (actual, taken), count in pairs.most_common()]


def describe_pairs(answers: Answers) -> dict[str, str]:
    """Return the classes that are mixed up most in words; empty where none are."""
    totals = Counter(answers.actual)
    pairs = [
        f"{actual} taken for {taken} ({count} of {totals[actual]} clips)"
        for actual, taken, count in mixed_up(answers)[:PAIRS]
    ]
    return {"mixed up most": ", ".join(pairs)} if pairs else {}


def next_steps(
    dataset: str, headline: str, mean: Mapping[str, Row], answers: Answers
) -> dict[str, str]:
    """Return what to try next, from what is wrong with the result; empty where nothing is."""
    recipe, result = params.recipe_path(dataset), mean[headline]
    found: list[str] = []
    single = {name: row for name, row in mean.items() if is_modality(name)}
    best = max(single, key=lambda name: single[name].mean_class_accuracy)
    gain = accuracy_gain(single[best], result)
    if BASELINE in mean and accuracy_gain(result, mean[BASELINE]) <= 0:
        found.append(f"training has not beaten the baseline: more clips, or iterations in {recipe}")
    elif gain > 0:
        remedy = (
            f"the page has what to write under fusion in {recipe}"
            if is_combination(headline)
            else f"write it as fusion.headline into {recipe}"
        )
        found.append(f"{best} alone is {gain:.1f} points better than {headline}: {remedy}")
    lists = read_splits(DatasetPaths(dataset).splits)
    thin = thin_classes(lists)
    wrong = Counter(actual for actual, _, _ in mixed_up(answers))
    if few := [name for name in thin if wrong[name]]:
        found.append(f"add clips of {', '.join(f'{name} ({thin[name]})' for name in few[:3])}")
    low, high = answers.interval
    if high - low > WIDE:
        every = sorted(lists.train)
        if set(params.section(params.load(), "splits", tuple[int, ...])).issuperset(every):
            found.append("test more clips: the interval is wide (`tsn check` shows the splits)")
        else:
            found.append(f"test more clips: `splits: {every}` in params.yaml; the interval is wide")
    if not found and wrong:
        actual, taken, _ = mixed_up(answers)[0]
        found.append(f"look at what {actual} and {taken} share: the page shows the clips")
    return {"try next": ". ".join(found)} if found else {}


def first_answer(dataset: str, split: int, modality: str) -> list[str]:
    """Return lines on the baseline of a split, as a first answer; ValueError where it has none."""
    recipe = params.load_recipe(dataset).values
    scores = load_scores(DatasetPaths(dataset).scores / str(split) / f"{BASELINE}.npz")
    if not scores.videos:
        raise ValueError(f"{dataset}: no first answer, as its recipe trains from scratch")
    best = scores.scores.argmax(axis=1)
    answers = Answers(
        clips=scores.videos,
        actual=[scores.classes[label] for label in scores.labels],
        taken=[scores.classes[label] for label in best],
    )
    return listed(
        {
            "first answer": describe_result(BASELINE, answers.mean_class_accuracy, answers),
            "method": describe_method(recipe, modality),
            "tested on": f"split {split} alone",
            **describe_pairs(answers),
            "the full run": describe_full_run(dataset, recipe),
        }
    )


def describe_full_run(dataset: str, recipe: Mapping[str, Any]) -> str:
    """Return what `tsn repro` adds to a first answer, and how long it takes."""
    settings = params.load()
    modalities = params.section(settings, "modalities", tuple[str, ...])
    splits = params.section(settings, "splits", tuple[int, ...])
    done = quick_cells(splits, modalities)
    coming = [cell for cell in cells_of(splits, modalities) if cell not in done]
    clips = taken_clips(DatasetPaths(dataset))
    cores = count_cores()
    seconds = seconds_of(coming, recipe, clips, cores)
    several = f"splits {', '.join(map(str, splits))}" if len(splits) > 1 else f"split {splits[0]}"
    return (
        f"trains networks of {', '.join(modalities)} on {several}, fuses them and makes a "
        f"recogniser: `tsn repro`, {spoken(seconds)} on {counted(cores, 'core')}"
    )


def describe_method(recipe: Mapping[str, Any], modality: str) -> str:
    """Return what the baseline is, in words."""
    ((kind, init),) = recipe["init"].items()
    return (
        f"a logistic regression on {init['backbone'].removeprefix('timm:')}'s features of "
        f"{recipe['baseline']['snippets']} {modality} snippets a clip, with "
        f"{WEIGHTS.get(kind, 'ImageNet weights')}; no network was trained on the clips"
    )

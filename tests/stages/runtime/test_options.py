"""A command line written once, as a dataclass: what is parsed, refused and watched."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from stages.runtime.options import (
    StageOptions,
    UsageError,
    input_path,
    option,
    output_path,
    parse,
    parse_or_exit,
)


def even(word: str) -> int:
    number = int(word)
    if number % 2:
        raise ValueError(f"{word} is odd")
    return number


@dataclass(frozen=True, kw_only=True)
class Options(StageOptions):
    recipe_sections = ("train.{modality}", "score")

    videos: tuple[Path, ...] = option("video files", positional=True)
    modality: str = option("rgb or flow", choices=("rgb", "flow"))
    split: int = option("1, 2 or 3", default=1)
    pairs: int = option("an even number", default=2, parse=even)
    model_folder: Path = input_path("the model")
    version: str | None = option("its number", default=None)
    verbose: bool = option("say more", default=False)
    out: Path = output_path("the table")

    def __post_init__(self) -> None:
        if self.verbose and self.version:
            raise ValueError("either --verbose or --version")


LINE = ["a.avi", "b.avi", "--modality", "rgb", "--model-folder", "m", "--out", "o"]


def test_words_become_values_of_their_types() -> None:
    assert parse(Options, [*LINE, "--split", "3", "--pairs", "4"]) == Options(
        videos=(Path("a.avi"), Path("b.avi")),
        modality="rgb",
        split=3,
        pairs=4,
        model_folder=Path("m"),
        version=None,
        verbose=False,
        out=Path("o"),
    )
    assert parse(Options, [*LINE, "--verbose"]).verbose
    assert parse(Options, [*LINE, "--version", "7"]).version == "7"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (LINE[:-2], "required: --out"),
        ([*LINE, "--split", "x"], "--split: invalid int value: 'x'"),
        ([*LINE, "--pairs", "3"], "--pairs: 3 is odd"),
        ([*LINE, "--modality", "depth"], "--modality: invalid choice: 'depth'"),
        ([*LINE, "--vers", "7"], "unrecognized arguments: --vers 7"),
        ([*LINE, "--verbose", "--version", "7"], "either --verbose or --version"),
        (LINE[2:], "required: videos"),
    ],
)
def test_wrong_command_line_is_refused(words: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse(Options, words)


def test_program_ends_with_the_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        parse_or_exit(Options, LINE[:-2], "python -m stages.toy", "toy: an example.")
    assert capsys.readouterr().err.startswith("usage: python -m stages.toy ")


def test_help_tells_what_is_written_and_what_is_taken_without_a_word(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit, match="0"):
        parse_or_exit(Options, ["--help"], "python -m stages.toy", "toy: an example.\n\nIn lines.")
    text = capsys.readouterr().out
    assert "toy: an example.\n\nIn lines." in text
    assert "out: the table" in text
    assert "1, 2 or 3 (default: 1)" in text
    assert "None" not in text


def test_inputs_and_sections_are_those_of_the_values() -> None:
    options = parse(Options, LINE)
    assert options.inputs == [Path("m")]
    assert options.sections == ["train.rgb", "score"]

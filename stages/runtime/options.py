"""A program's command line, written once: as a frozen dataclass.

    @dataclass(frozen=True, kw_only=True)
    class Options(StageOptions):
        recipe_sections = ("train.{modality}",)

        dataset: str = option("a recipe: recipes/<dataset>.yaml")
        stream: Path = input_path("extracted stream to read")
        out: Path = output_path("weights and sidecar")

The parser, its help, and what `provenance.unchanged` watches while the stage runs come from it.
"""

import argparse
import types
import typing
from collections.abc import Callable, Sequence
from dataclasses import MISSING, Field, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, NoReturn, TypeVar, cast

Part = TypeVar("Part")


@dataclass(frozen=True, kw_only=True)
class StageOptions:
    """The options of a program.

    recipe_sections: the sections of the dataset's recipe that shape what it writes; `{modality}` in
        one is the value of that option.
    params_sections: the same of params.yaml.
    """

    recipe_sections: ClassVar[tuple[str, ...]] = ()
    params_sections: ClassVar[tuple[str, ...]] = ()

    @property
    def inputs(self) -> list[Path]:
        """Return the files and folders that are read."""
        return [getattr(self, row.name) for row in fields(self) if row.metadata["role"] == "input"]

    @property
    def recipe(self) -> str:
        """Return the dataset whose recipe is read: the value of the option of that name."""
        return str(vars(self)["dataset"])

    @property
    def sections(self) -> list[str]:
        """Return the recipe's sections that shape the result of these options."""
        return [section.format_map(asdict(self)) for section in self.recipe_sections]

    def part(self, cls: type[Part]) -> Part:
        """Return those of the values that a dataclass of the library has, as that dataclass."""
        return cls(**{row.name: getattr(self, row.name) for row in fields(cast(Any, cls))})


Options = TypeVar("Options", bound=StageOptions)


class UsageError(ValueError):
    """A command line that cannot be meant."""


def option(
    text: str, *, default: Any = MISSING, parse: Callable[[str], Any] | None = None, **more: Any
) -> Any:
    """Return a field for a plain value; `text` is its help. Without a default it is required.

    parse: what makes the value of a word, instead of the field's type; ValueError refuses it.
    more: `choices`, `metavar`; `positional=True` for words without a name, of a field that is a
    tuple, at least one if it is required.
    """
    metadata = {"role": "value", "help": text, "parse": parse, **more}
    return field(default=default, metadata=metadata)


def input_path(text: str) -> Any:
    """Return a field for a file or folder that the program reads and its result depends on."""
    return field(metadata={"role": "input", "help": text})


def output_path(text: str, *, default: Any = MISSING) -> Any:
    """Return a field for a file or folder that the program writes."""
    return field(default=default, metadata={"role": "output", "help": f"out: {text}"})


def parse(cls: type[Options], words: Sequence[str]) -> Options:
    """Return the options that the words of a command line stand for. Raises UsageError."""
    return _parse(cls, words, _RaisingParser())


def parse_or_exit(cls: type[Options], words: Sequence[str], prog: str, doc: str) -> Options:
    """Return the options of a command line; end the program with the usage if they are wrong."""
    style = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog=prog, description=doc, formatter_class=style, allow_abbrev=False
    )
    return _parse(cls, words, parser)


class _RaisingParser(argparse.ArgumentParser):
    def __init__(self) -> None:
        super().__init__(allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        raise UsageError(message)


def _parse(cls: type[Options], words: Sequence[str], parser: argparse.ArgumentParser) -> Options:
    hints = typing.get_type_hints(cls)
    for row in fields(cls):
        _add_argument(parser, row, hints[row.name])
    found = vars(parser.parse_args(words))
    values = {name: tuple(v) if isinstance(v, list) else v for name, v in found.items()}
    try:
        return cls(**values)
    except ValueError as error:
        parser.error(str(error))


def _add_argument(parser: argparse.ArgumentParser, row: "Field[Any]", hint: Any) -> None:
    meta, name = row.metadata, f"--{row.name.replace('_', '-')}"
    if hint is bool:
        parser.add_argument(name, action="store_true", help=meta["help"])
        return
    if typing.get_origin(hint) in (types.UnionType, typing.Union, tuple):
        hint = typing.get_args(hint)[0]
    shared: dict[str, Any] = {key: meta.get(key) for key in ("help", "choices", "metavar")}
    shared["type"] = _told(meta["parse"]) if meta.get("parse") else hint
    required = row.default is MISSING
    if meta.get("positional"):
        parser.add_argument(row.name, nargs="+" if required else "*", **shared)
    elif required:
        parser.add_argument(name, required=True, **shared)
    else:
        if row.default is not None:
            shared["help"] += f" (default: {row.default})"
        parser.add_argument(name, default=row.default, **shared)


def _told(parse_word: Callable[[str], Any]) -> Callable[[str], Any]:
    """Return the function with its ValueError's words as those of the usage error."""

    def told(word: str) -> Any:
        try:
            return parse_word(word)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return told

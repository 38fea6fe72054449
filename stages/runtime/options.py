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
import dataclasses
import types
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, NoReturn, TypeVar

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
        """The files and folders that are read."""
        return [
            getattr(self, row.name)
            for row in dataclasses.fields(self)
            if row.metadata["role"] == "input"
        ]

    @property
    def recipe(self) -> str:
        """The dataset whose recipe is read: the value of the option of that name."""
        return str(vars(self)["dataset"])

    @property
    def sections(self) -> list[str]:
        """The recipe's sections that shape the result of these options."""
        return [section.format_map(dataclasses.asdict(self)) for section in self.recipe_sections]

    def part(self, cls: type[Part]) -> Part:
        """Return a record of the library whose fields all are options of the same name."""
        return cls(**{row.name: getattr(self, row.name) for row in dataclasses.fields(cls)})  # type: ignore[arg-type]


Options = TypeVar("Options", bound=StageOptions)


class UsageError(ValueError):
    """A command line that cannot be meant."""


def option(
    text: str,
    *,
    default: Any = dataclasses.MISSING,
    choices: Sequence[Any] | None = None,
    positional: bool = False,
    parse: Callable[[str], Any] | None = None,
    metavar: str | None = None,
) -> Any:
    """Return a field for a plain value; `text` is its help. Without a default it is required.

    positional: words without a name, for a field that is a tuple; at least one if it is required.
    parse: what makes the value of a word, instead of the field's type; ValueError refuses it.
    """
    return field(
        default=default,
        metadata={
            "role": "value",
            "help": text,
            "choices": choices,
            "positional": positional,
            "parse": parse,
            "metavar": metavar,
        },
    )


def input_path(text: str) -> Any:
    """Return a field for a file or folder that the program reads and its result depends on."""
    return field(metadata={"role": "input", "help": text})


def output_path(text: str, *, default: Any = dataclasses.MISSING) -> Any:
    """Return a field for a file or folder that the program writes."""
    return field(default=default, metadata={"role": "output", "help": f"out: {text}"})


def parse(cls: type[Options], words: Sequence[str], doc: str | None = None) -> Options:
    """Return the options that the words of a command line stand for. Raises UsageError."""
    return _parsed(_Parser(cls, "", doc or "", _refuse), cls, words)


def parse_or_exit(cls: type[Options], words: Sequence[str], prog: str, doc: str) -> Options:
    """Return the options of a command line; end the program with the usage if they are wrong."""
    return _parsed(_Parser(cls, prog, doc, None), cls, words)


def _refuse(message: str) -> NoReturn:
    raise UsageError(message)


class _Parser(argparse.ArgumentParser):
    """The parser of an options class; with `refuse`, an error does not end the program."""

    def __init__(
        self,
        cls: type[StageOptions],
        prog: str,
        doc: str,
        refuse: Callable[[str], NoReturn] | None,
    ) -> None:
        super().__init__(
            prog=prog or None,
            description=doc,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        self._refuse = refuse
        hints = typing.get_type_hints(cls)
        for row in dataclasses.fields(cls):
            _add_argument(self, row, hints[row.name])

    def error(self, message: str) -> NoReturn:
        if self._refuse is not None:
            self._refuse(message)
        super().error(message)


def _parsed(parser: _Parser, cls: type[Options], words: Sequence[str]) -> Options:
    found = vars(parser.parse_args(words))
    values = {name: tuple(v) if isinstance(v, list) else v for name, v in found.items()}
    try:
        return cls(**values)
    except ValueError as error:
        parser.error(str(error))


def _add_argument(
    parser: argparse.ArgumentParser, row: "dataclasses.Field[Any]", hint: Any
) -> None:
    meta, name = row.metadata, f"--{row.name.replace('_', '-')}"
    if hint is bool:
        parser.add_argument(name, action="store_true", help=meta["help"])
        return
    if typing.get_origin(hint) in (types.UnionType, typing.Union, tuple):
        hint = typing.get_args(hint)[0]
    shared: dict[str, Any] = {
        "type": _word_parser(meta.get("parse") or hint),
        "help": meta["help"],
        "choices": meta.get("choices"),
        "metavar": meta.get("metavar"),
    }
    if meta.get("positional"):
        required = row.default is dataclasses.MISSING
        parser.add_argument(row.name, nargs="+" if required else "*", **shared)
    elif row.default is dataclasses.MISSING:
        parser.add_argument(name, required=True, **shared)
    else:
        if row.default is not None:
            shared["help"] = f"{meta['help']} (default: {row.default})"
        parser.add_argument(name, default=row.default, **shared)


def _word_parser(make: Callable[[str], Any]) -> Callable[[str], Any]:
    """Return `make` with its own ValueError's words as those of the usage error."""
    if isinstance(make, type):
        return make

    def parse_word(word: str) -> Any:
        try:
            return make(word)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error) or f"{word!r} is not valid") from error

    return parse_word

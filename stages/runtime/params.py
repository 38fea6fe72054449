"""The only reader of params.yaml: strict, and in the same dialect as DVC (ruamel, YAML 1.2).

A section becomes the frozen dataclass beside the function it configures. Unknown, missing and
mistyped keys are refused with their dotted name and the valid choices. A stage reads its own
section; `python -m stages.operate.check` reads them all.
"""

import dataclasses
import types
import typing
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from ruamel.yaml import YAML
from ruamel.yaml.error import ReusedAnchorWarning, YAMLError

PARAMS = Path("params.yaml")
T = TypeVar("T")
Content = Mapping[str, Any]


class ParamsError(ValueError):
    """params.yaml says something that cannot be meant."""


def load(path: Path = PARAMS) -> Content:
    """The file as nested plain mappings."""
    if not path.is_file():
        raise ParamsError(f"{path}: no such file; run from the project's root")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", ReusedAnchorWarning)
            content = YAML(typ="safe", pure=True).load(path)
    except ReusedAnchorWarning as error:
        raise ParamsError(
            f"{path}: {error}\nan anchor (&name) stands for one section: remove it from a copied "
            "section, or give it another name"
        ) from error
    except YAMLError as error:
        raise ParamsError(f"{path}: {error}") from error
    if not isinstance(content, dict):
        raise ParamsError(f"{path}: expected a mapping of sections")
    return content


def section(content: Content, dotted: str, cls: type[T]) -> T:
    """The section at `recipes.ucf101.train.rgb`, as `cls`."""
    return typing.cast(T, _convert(find(content, dotted), cls, dotted))


def choice(content: Content, dotted: str, table: Mapping[str, type]) -> tuple[str, Any]:
    """A section that holds exactly one key, a row of `table`: its name and its dataclass."""
    found = find(content, dotted)
    if not isinstance(found, dict) or len(found) != 1:
        raise ParamsError(f"{dotted}: expected exactly one of {', '.join(table)}, got {found!r}")
    (name,) = found
    if name not in table:
        raise ParamsError(f"{dotted}.{name}: unknown; valid: {', '.join(table)}")
    return name, _convert(found[name], table[name], f"{dotted}.{name}")


def refuse_other_keys(content: Any, dotted: str, valid: tuple[str, ...]) -> None:
    """ParamsError unless `content` is a mapping with exactly the valid keys."""
    prefix = f"{dotted}." if dotted else ""
    if not isinstance(content, dict):
        raise _mistyped(dotted, "a mapping", content)
    for key in content:
        if key not in valid:
            raise ParamsError(f"{prefix}{key}: unknown key; valid: {', '.join(valid)}")
    for key in valid:
        if key not in content:
            raise ParamsError(f"{prefix}{key}: missing; expected: {', '.join(valid)}")


def find(content: Content, dotted: str) -> Any:
    """The value at a dotted name. ParamsError names what is there instead."""
    node: Any = content
    walked: list[str] = []
    for key in dotted.split("."):
        if not isinstance(node, dict) or key not in node:
            where = ".".join(walked) or "the top level"
            keys = ", ".join(map(str, node)) if isinstance(node, dict) else repr(node)
            raise ParamsError(f"{dotted}: missing; {where} has: {keys}")
        node = node[key]
        walked.append(key)
    return node


def _convert(value: Any, expected: Any, dotted: str) -> Any:
    if dataclasses.is_dataclass(expected):
        return _convert_dataclass(value, typing.cast(type, expected), dotted)
    origin = typing.get_origin(expected)
    if origin is tuple:
        item = typing.get_args(expected)[0]
        if not isinstance(value, list):
            raise _mistyped(dotted, "a list", value)
        return tuple(_convert(v, item, f"{dotted}[{i}]") for i, v in enumerate(value))
    if origin is dict:
        item = typing.get_args(expected)[1]
        if not isinstance(value, dict):
            raise _mistyped(dotted, "a mapping", value)
        return {str(k): _convert(v, item, f"{dotted}.{k}") for k, v in value.items()}
    if origin in (types.UnionType, typing.Union):
        return None if value is None else _convert(value, typing.get_args(expected)[0], dotted)
    if expected is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not expected:
        raise _mistyped(dotted, NAMES[expected], value)
    return value


NAMES = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}


def _convert_dataclass(value: Any, cls: type, dotted: str) -> Any:
    hints = typing.get_type_hints(cls)
    fields = tuple(field.name for field in dataclasses.fields(cls))
    refuse_other_keys(value, dotted, fields)
    converted = {name: _convert(value[name], hints[name], f"{dotted}.{name}") for name in fields}
    try:
        return cls(**converted)
    except ValueError as error:
        raise ParamsError(f"{dotted}: {error}") from error


def _mistyped(dotted: str, expected: str, value: object) -> ParamsError:
    return ParamsError(f"{dotted}: expected {expected}, got {value!r}")

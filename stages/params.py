"""The only reader of params.yaml: strict, and in the same dialect as DVC (ruamel, YAML 1.2).

A section becomes the frozen dataclass beside the function it configures. Unknown, missing and
mistyped keys are refused with their dotted name and the valid choices.
Run as a program it checks the whole file: `python -m stages.params`.
"""

import dataclasses
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

PARAMS = Path("params.yaml")
T = TypeVar("T")


class ParamsError(ValueError):
    """params.yaml says something that cannot be meant."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Machine:
    """What this machine lends to a stage. Changes no result but for the order of float sums
    (device, threads).

    device: cpu, cuda or auto (cuda when there is one).
    threads: CPU threads of one training; fixed, so that results do not depend on the machine.
    workers: processes that read data, or extract videos; 0 reads in the training process.
    checkpoint_seconds: an interrupted training loses at most this much.
    """

    device: str
    threads: int
    workers: int
    checkpoint_seconds: float

    def __post_init__(self) -> None:
        if self.device not in ("auto", "cpu", "cuda"):
            raise ValueError(f"device is auto, cpu or cuda, got {self.device!r}")
        if self.threads < 1 or self.workers < 0:
            raise ValueError(f"threads >= 1 and workers >= 0, got {self.threads}, {self.workers}")


def load(path: Path = PARAMS) -> Mapping[str, Any]:
    """The file as nested plain mappings."""
    if not path.is_file():
        raise ParamsError(f"{path}: no such file; run from the project's root")
    try:
        content = YAML(typ="safe", pure=True).load(path)
    except YAMLError as error:
        raise ParamsError(f"{path}: {error}") from error
    if not isinstance(content, dict):
        raise ParamsError(f"{path}: expected a mapping of sections")
    return content


def section(content: Mapping[str, Any], dotted: str, cls: type[T]) -> T:
    """The section at `recipes.ucf101.train.rgb`, as `cls`."""
    return typing.cast(T, _convert(find(content, dotted), cls, dotted))


def choice(content: Mapping[str, Any], dotted: str, table: Mapping[str, type]) -> tuple[str, Any]:
    """A section that holds exactly one key, a row of `table`: its name and its dataclass."""
    found = find(content, dotted)
    if not isinstance(found, dict) or len(found) != 1:
        raise ParamsError(f"{dotted}: expected exactly one of {', '.join(table)}, got {found!r}")
    (name,) = found
    if name not in table:
        raise ParamsError(f"{dotted}.{name}: unknown; valid: {', '.join(table)}")
    return name, _convert(found[name], table[name], f"{dotted}.{name}")


def find(content: Mapping[str, Any], dotted: str) -> Any:
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
    if not isinstance(value, dict):
        raise _mistyped(dotted, "a mapping", value)
    hints = typing.get_type_hints(cls)
    fields = [field.name for field in dataclasses.fields(cls)]
    unknown = [key for key in value if key not in fields]
    if unknown:
        raise ParamsError(f"{dotted}.{unknown[0]}: unknown key; valid: {', '.join(fields)}")
    missing = [name for name in fields if name not in value]
    if missing:
        raise ParamsError(f"{dotted}.{missing[0]}: missing; expected: {', '.join(fields)}")
    converted = {name: _convert(value[name], hints[name], f"{dotted}.{name}") for name in fields}
    try:
        return cls(**converted)
    except ValueError as error:
        raise ParamsError(f"{dotted}: {error}") from error


def _mistyped(dotted: str, expected: str, value: object) -> ParamsError:
    return ParamsError(f"{dotted}: expected {expected}, got {value!r}")

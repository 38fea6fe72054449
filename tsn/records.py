"""Plain mappings, as YAML and JSON files hold them, to frozen dataclasses: strictly.

A name that is missing, unknown or mistyped is refused, with its dotted name and the valid choices.
Only a field with a default may be left out.
"""

import contextlib
import dataclasses
import math
import types
import typing
from typing import Any, TypeVar

T = TypeVar("T")

TYPE_NAMES = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}


class RecordError(ValueError):
    """A file says something that cannot be meant."""


def record(content: Any, cls: type[T], where: str) -> T:
    """Return `content` as `cls`: a dataclass, a tuple, a dict, a plain type or one of them or None.

    where: the dotted name of `content`, for the errors. Raises RecordError.
    """
    return typing.cast(T, _convert(content, cls, where))


def require_keys(content: Any, valid: tuple[str, ...], where: str) -> None:
    """Raise RecordError unless `content` is a mapping with exactly the valid keys."""
    refuse_other_keys(content, valid, where)
    for key in valid:
        if key not in content:
            raise RecordError(f"{_dotted(where, key)}: missing; expected: {', '.join(valid)}")


def refuse_other_keys(content: Any, valid: tuple[str, ...], where: str) -> None:
    """Raise RecordError unless `content` is a mapping with none but the valid keys."""
    if not isinstance(content, dict):
        raise _mistyped(where, "a mapping", content)
    for key in content:
        if key not in valid:
            raise RecordError(f"{_dotted(where, key)}: unknown key; valid: {', '.join(valid)}")


def _convert(value: Any, expected: Any, where: str) -> Any:
    if expected is Any:
        return value
    if dataclasses.is_dataclass(expected):
        return _convert_dataclass(value, typing.cast(type, expected), where)
    origin = typing.get_origin(expected)
    if origin is tuple:
        item = typing.get_args(expected)[0]
        if not isinstance(value, list):
            raise _mistyped(where, "a list", value)
        return tuple(_convert(v, item, f"{where}[{i}]") for i, v in enumerate(value))
    if origin is dict:
        item = typing.get_args(expected)[1]
        if not isinstance(value, dict):
            raise _mistyped(where, "a mapping", value)
        return {str(k): _convert(v, item, f"{where}.{k}") for k, v in value.items()}
    if origin in (types.UnionType, typing.Union):
        return None if value is None else _convert(value, typing.get_args(expected)[0], where)
    if expected is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return _finite(value, where)
    if type(value) is not expected:
        raise _mistyped(where, TYPE_NAMES[expected], value)
    return value


def _finite(value: float, where: str) -> float:
    with contextlib.suppress(OverflowError):  # of a whole number that no float can be
        if math.isfinite(number := float(value)):
            return number
    raise _mistyped(where, "a finite number", value)


def _convert_dataclass(value: Any, cls: type, where: str) -> Any:
    hints = typing.get_type_hints(cls)
    fields = dataclasses.fields(cls)
    names = tuple(field.name for field in fields)
    refuse_other_keys(value, names, where)
    optional = [field.name for field in fields if _has_default(field)]
    require_keys({**dict.fromkeys(optional), **value}, names, where)
    given = [name for name in names if name in value]
    converted = {name: _convert(value[name], hints[name], _dotted(where, name)) for name in given}
    try:
        return cls(**converted)
    except ValueError as error:
        raise RecordError(f"{where}: {error}") from error


def _has_default(field: "dataclasses.Field[Any]") -> bool:
    return (field.default, field.default_factory) != (dataclasses.MISSING, dataclasses.MISSING)


def _dotted(where: str, key: object) -> str:
    return f"{where}.{key}" if where else f"{key}"


def _mistyped(where: str, expected: str, value: object) -> RecordError:
    quoted = expected == TYPE_NAMES[str] and isinstance(value, int | float)
    hint = ": put it in quotes" if quoted else ""
    return RecordError(f"{where}: expected {expected}, got {value!r}{hint}")

"""The form clerk: Remote API JSON to frozen values and back, driven by the values' own field types.

A field ``cpu_shares: int`` is the member ``CpuShares``; `named` gives it another. A member that
is absent or null takes the field's default, as Go's decoder leaves the zero value; unknown members
are ignored, so that newer clients can talk to us. It knows nothing of what any field means.
"""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

from mini_docker.errors import Invalid

T = typing.TypeVar("T")


def named(name: str) -> dict[str, Any]:
    """Metadata of a field whose JSON member is called *name*."""
    return {"name": name}


WORDS = {"word": True}
"""Metadata of a field that may come as one string in place of a list, as Docker's ``StrSlice`` may."""


def camel(name: str) -> str:
    """``cpu_shares`` → ``CpuShares``."""
    return "".join(part.capitalize() for part in name.split("_"))


@dataclasses.dataclass(frozen=True, slots=True)
class _Member:
    """How one JSON member becomes one field."""

    field: str
    decode: Callable[[Any, str], Any]


@functools.cache
def _members(cls: type) -> dict[str, _Member]:
    hints = typing.get_type_hints(cls)
    table = {}
    for field in dataclasses.fields(cls):
        decode = _decoder(hints[field.name])
        if field.metadata.get("word"):
            decode = _word_or_list(decode)
        table[member_name(field)] = _Member(field.name, decode)
    return table


def member_name(field: dataclasses.Field[Any]) -> str:
    """The JSON member that a field is."""
    name: str = field.metadata.get("name") or camel(field.name)
    return name


def decode(cls: type[T], data: Any, where: str = "") -> T:
    """Build a value of the dataclass *cls* from decoded JSON.

    Args:
        where: what to call the whole in an error, such as ``HostConfig``.

    Raises:
        Invalid: a member has the wrong type; the message names it.
    """
    if not isinstance(data, Mapping):
        raise Invalid(f"{where or 'body'}: expected an object, got {_type_name(data)}")
    table = _members(typing.cast(type, cls))
    values = {}
    for name, value in data.items():
        member = table.get(name)
        if member is not None and value is not None:
            values[member.field] = member.decode(value, f"{where}.{name}" if where else name)
    return cls(**values)


def encode(value: Any) -> Any:
    """The inverse of `decode`: every member is present; an empty tuple becomes null, as Go's nil slice does."""
    if value is None or isinstance(value, (str, int, float)):
        return value
    if dataclasses.is_dataclass(value):
        members = _members(typing.cast(Any, type(value)))
        return {name: encode(getattr(value, member.field)) for name, member in members.items()}
    if isinstance(value, tuple):
        return [encode(item) for item in value] or None
    if isinstance(value, Mapping):
        return {key: encode(item) for key, item in value.items()}
    return value


def _type_name(data: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", int: "a number", float: "a number"}
    return "null" if data is None else names.get(type(data), type(data).__name__)


def _word_or_list(decode_list: Callable[[Any, str], Any]) -> Callable[[Any, str], Any]:
    return lambda value, where: (value,) if isinstance(value, str) else decode_list(value, where)


def _scalar(kind: type, noun: str) -> Callable[[Any, str], Any]:
    def decode_scalar(value: Any, where: str) -> Any:
        # bool is an int to Python, not to JSON; 1.0 is a whole number to JSON, not to Python.
        if type(value) is kind:
            return value
        if kind is int and type(value) is float and value.is_integer():
            return int(value)
        if kind is float and type(value) is int:
            return float(value)
        raise Invalid(f"{where}: expected {noun}, got {_type_name(value)}")

    return decode_scalar


@functools.cache
def _decoder(kind: Any) -> Callable[[Any, str], Any]:
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return lambda value, where: value
    if origin in (types.UnionType, typing.Union):  # only ever "T | None": null never comes here
        return _decoder(args[0])
    if origin is tuple:
        item = _decoder(args[0])

        def decode_list(value: Any, where: str) -> Any:
            if not isinstance(value, list):
                raise Invalid(f"{where}: expected a list, got {_type_name(value)}")
            return tuple(item(member, f"{where}[{index}]") for index, member in enumerate(value))

        return decode_list
    if origin is not None and issubclass(origin, Mapping):
        item = _decoder(args[1])

        def decode_object(value: Any, where: str) -> Any:
            if not isinstance(value, Mapping):
                raise Invalid(f"{where}: expected an object, got {_type_name(value)}")
            # A null value is "the key alone": ``{"80/tcp": null}``.
            return {key: None if member is None else item(member, f"{where}.{key}") for key, member in value.items()}

        return decode_object
    if dataclasses.is_dataclass(kind):
        return lambda value, where: decode(typing.cast(type, kind), value, where)
    nouns = {str: "a string", bool: "a boolean", int: "a whole number", float: "a number"}
    return _scalar(kind, nouns[kind])

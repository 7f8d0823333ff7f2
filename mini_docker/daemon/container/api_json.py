"""The form clerk: Remote API JSON to frozen values and back, driven by the values' own field types.

A field ``cpu_shares: int`` is the member ``CpuShares``; `named` gives it another. A member that
is absent or null takes the field's default, as Go's decoder leaves the zero value; unknown members
are ignored, so that newer clients can talk to us. It knows nothing of what any field means.
"""

from __future__ import annotations

import functools
import operator
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

from mini_docker import dataclasses
from mini_docker.errors import Invalid

T = typing.TypeVar("T")


def named(name: str) -> dict[str, Any]:
    """Metadata of a field whose JSON member is called *name*."""
    return {"name": name}


_NOUNS = {str: "a string", bool: "a boolean", int: "a whole number", float: "a number"}
"""The plain types, which are the same in JSON and here, and what an error calls them."""

_AS_IT_IS = frozenset({*_NOUNS, type(None)})
"""Types of values that are encoded by doing nothing."""

WORDS = {"word": True}
"""Metadata of a field that may come as one string in place of a list, as Docker's ``StrSlice`` may."""


def camel(name: str) -> str:
    """``cpu_shares`` → ``CpuShares``."""
    return "".join(part.capitalize() for part in name.split("_"))


class _Member(typing.NamedTuple):
    """How one JSON member becomes one field: a value of the type *plain* as it is, any other by *decode*."""

    field: str
    plain: type | None
    decode: Callable[[Any, str], Any]


@functools.cache
def _members(cls: type) -> dict[str, _Member]:
    hints = typing.get_type_hints(cls)
    table = {}
    for field in dataclasses.fields(cls):
        kind = _without_none(hints[field.name])
        decode = _decoder(kind)
        if field.metadata.get("word"):
            decode = _word_or_list(decode)
        table[member_name(field)] = _Member(field.name, kind if kind in _NOUNS else None, decode)
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
        if member is None or value is None:
            continue
        field, plain, decode_other = member
        if type(value) is plain:  # two members of three: neither a call nor the text of where we are
            values[field] = value
        else:
            values[field] = decode_other(value, f"{where}.{name}" if where else name)
    return cls(**values)


def encode(value: Any) -> Any:
    """The inverse of `decode`: every member is present; an empty tuple becomes null, as Go's nil slice does.

    Both configs of a plain container take 19 us; with a call and a getattr for each member they took 32.
    """
    kind: Any = type(value)
    if kind in _AS_IT_IS:
        return value
    if kind is tuple:
        return [encode(item) for item in value] or None
    if isinstance(value, Mapping):
        return {key: encode(item) for key, item in value.items()}
    form = _form(kind)
    if form is None:
        return value
    names, read = form
    return {
        name: item if type(item) in _AS_IT_IS else encode(item) for name, item in zip(names, read(value), strict=True)
    }


@functools.cache
def _form(kind: Any) -> tuple[tuple[str, ...], Callable[[Any], tuple[Any, ...]]] | None:
    """The members of a dataclass, and what reads all its fields in one call; None for another type."""
    if not dataclasses.is_dataclass(kind):
        return None
    fields = dataclasses.fields(kind)
    names = tuple(member_name(field) for field in fields)
    if len(fields) == 1:  # attrgetter would give the value, not a tuple of it
        return names, lambda value: (getattr(value, fields[0].name),)
    return names, operator.attrgetter(*(field.name for field in fields))


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
    kind = _without_none(kind)
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return lambda value, where: value
    if origin is tuple:
        item = _decoder(args[0])
        of_plain = {args[0]} if args[0] in _NOUNS else set()

        def decode_list(value: Any, where: str) -> Any:
            if not isinstance(value, list):
                raise Invalid(f"{where}: expected a list, got {_type_name(value)}")
            if of_plain.issuperset(map(type, value)):  # nearly every list: words only, or nothing
                return tuple(value)
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
    return _scalar(kind, _NOUNS[kind])


def _without_none(kind: Any) -> Any:
    """``T`` of ``T | None``, the only union there is: null comes to no decoder."""
    return typing.get_args(kind)[0] if typing.get_origin(kind) in (types.UnionType, typing.Union) else kind

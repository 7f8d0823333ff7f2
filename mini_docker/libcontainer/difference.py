"""Differences: what tells one spec from another, as data that can be said.

Two containers of an image are alike but for a few words. Who knows the one already need only be told those: of its
mounts a few sources, of its process the command and one variable. It knows the classes of `config` by their fields,
and nothing of what these mean.
"""

from __future__ import annotations

import functools
import types
import typing
from collections.abc import Callable
from typing import Any

from mini_docker import dataclasses
from mini_docker.libcontainer.config import decoder, fields_of, to_json

T = typing.TypeVar("T")


def difference(value: Any, model: Any) -> Any:
    """What tells *value* from *model* as JSON-able data: of an object its other fields, of a tuple as long as the
    model's its other items, of anything else the whole value.

    Args:
        value, model: two values that the same field of a spec may have.
    """
    if type(value) is type(model):
        cls: Any = type(value)
        fields = fields_of(cls)
        if fields is not None:
            pairs = ((name, getattr(value, name), getattr(model, name)) for name, _ in fields)
            return {name: difference(own, other) for name, own, other in pairs if own != other}
        if isinstance(value, tuple) and len(value) == len(model):
            numbered = enumerate(zip(value, model, strict=True))
            return {str(index): difference(own, other) for index, (own, other) in numbered if own != other}
    return to_json(value)


def changed(model: T, data: Any) -> T:
    """The value that differs from *model* by *data*: the inverse of `difference`, for objects.

    Raises:
        ValueError, TypeError, LookupError: *data* is nothing that `difference` gives.
    """
    cls: Any = type(model)
    return typing.cast(T, _changer(cls)(model, data))


_Changer = Callable[[Any, Any], Any]


@functools.cache
def _changer(kind: Any) -> _Changer:
    """What makes a value of this type from a model and a difference; made once a type."""
    whole = decoder(kind)
    if typing.get_origin(kind) in (types.UnionType, typing.Union):  # only ever "T | None"
        some = _changer(typing.get_args(kind)[0])
        return lambda model, data: whole(data) if model is None or data is None else some(model, data)
    if dataclasses.is_dataclass(kind):
        return _object_changer(kind)
    if typing.get_origin(kind) is tuple:
        return _tuple_changer(_changer(typing.get_args(kind)[0]), whole)
    return lambda model, data: whole(data)


def _object_changer(kind: Any) -> _Changer:
    changers = {name: _changer(hint) for name, hint in typing.get_type_hints(kind).items()}

    def change(model: Any, data: Any) -> Any:
        return dataclasses.replace(
            model, **{name: changers[name](getattr(model, name), item) for name, item in data.items()}
        )

    return change


def _tuple_changer(of_item: _Changer, whole: Callable[[Any], Any]) -> _Changer:
    def change(model: Any, data: Any) -> Any:
        if not isinstance(data, dict):
            return whole(data)
        items = list(model)
        for index, item in data.items():
            items[int(index)] = of_item(items[int(index)], item)
        return tuple(items)

    return change

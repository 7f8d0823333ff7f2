"""The words that a template may call (``json``, ``index``, ``join`` …), and how a value is printed.

Plain functions of plain values; a wrong call is the TypeError, ValueError or the like that Python raises.
Source: the package documentation of Go's text/template and fmt, and Docker's "Format command output".
"""

from __future__ import annotations

TYPE_CHECKING = False  # what typing.TYPE_CHECKING is, without its 3 ms
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def show(value: Any) -> str:
    """A value as Go prints it with ``%v``."""
    if value is None:
        return "<no value>"
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{_inner(value[key])}" for key in sorted(value)) + "]"
    if isinstance(value, list | tuple):
        return "[" + " ".join(map(_inner, value)) + "]"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)


def _inner(value: Any) -> str:
    return "<nil>" if value is None else show(value)


def _json(value: Any) -> str:
    from mini_docker.http import quick_json

    return quick_json.dumps(value, ascii=False)


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        if isinstance(value, dict):
            value = value.get(key)
        elif isinstance(value, list) and isinstance(key, int) and 0 <= key < len(value):
            value = value[key]
        else:
            raise ValueError(f"can't index {show(value)} by {show(key)}")
    return value


def _and(*values: Any) -> Any:
    return next((value for value in values if not value), values[-1])


def _or(*values: Any) -> Any:
    return next((value for value in values if value), values[-1])


def _printf(form: str, *values: Any) -> str:
    return form.replace("%v", "%s").replace("%q", '"%s"') % tuple(
        value if isinstance(value, int | float) and not isinstance(value, bool) else show(value) for value in values
    )


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "json": _json,
    "index": _index,
    "len": len,
    "and": _and,
    "or": _or,
    "not": lambda value: not value,
    "eq": lambda first, *others: first in others,
    "ne": lambda first, second: first != second,
    "lt": lambda first, second: first < second,
    "le": lambda first, second: first <= second,
    "gt": lambda first, second: first > second,
    "ge": lambda first, second: first >= second,
    "join": lambda values, separator: separator.join(map(show, values)),
    "split": lambda text, separator: text.split(separator),
    "lower": lambda text: text.lower(),
    "upper": lambda text: text.upper(),
    "title": lambda text: text[:1].upper() + text[1:],
    "pad": lambda text, before, after: " " * before + text + " " * after if text else text,
    "truncate": lambda text, length: text[:length],
    "print": lambda *values: "".join(map(show, values)),
    "println": lambda *values: " ".join(map(show, values)) + "\n",
    "printf": _printf,
}

"""JSON for a command that lives ten milliseconds: the interpreter's own C scanner, without its porch.

``import json`` compiles regular expressions and so costs 5.6 ms, half of what a whole ``docker
version`` takes; the C scanner behind it starts at once. The result is the same (a test compares the
two). Where the interpreter lacks that scanner, ``json`` itself is used.
"""

from __future__ import annotations

TYPE_CHECKING = False  # what typing.TYPE_CHECKING is, without its 3 ms
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

try:
    from _json import encode_basestring, encode_basestring_ascii, make_scanner
except ImportError:  # an interpreter without the C scanner
    HAS_SCANNER = False
else:
    HAS_SCANNER = True

_CONSTANTS = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}


class _Options:
    """What ``json.JSONDecoder`` has of attributes when made with its defaults; the scanner reads them."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = _CONSTANTS.__getitem__

    def __init__(self) -> None:
        self.memo: dict[str, str] = {}


def loads(data: bytes) -> Any:
    """The value in *data* (UTF-8).

    Raises:
        ValueError: *data* is not one JSON value.
    """
    text = data.decode().strip(" \t\n\r")
    if not HAS_SCANNER:
        import json

        return json.loads(text)
    try:
        value, end = make_scanner(_Options())(text, 0)  # type: ignore[arg-type]  # it reads attributes, no more
    except StopIteration:
        end = -1
    if end != len(text):
        raise ValueError(f"not a JSON value: {text[:60]!r}")
    return value


def dumps(value: Any, ascii: bool = True) -> str:
    """*value* (None, a bool, number, string, list, tuple or dict of these) as compact JSON.

    Args:
        ascii: write other letters as escapes, so that even half a surrogate pair has a form on the wire.

    Raises:
        TypeError: something else is in it.
    """
    if not HAS_SCANNER:
        import json

        return json.dumps(value, separators=(",", ":"), ensure_ascii=ascii)
    return _text(value, encode_basestring_ascii if ascii else encode_basestring)


def _text(value: Any, quote: Callable[[str], str]) -> str:
    if value is None or value is True or value is False:
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return quote(value)
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return "[" + ",".join([_text(member, quote) for member in value]) + "]"
    if isinstance(value, dict):
        return "{" + ",".join([f"{quote(name)}:{_text(member, quote)}" for name, member in value.items()]) + "}"
    raise TypeError(f"{type(value).__name__} has no form in JSON")

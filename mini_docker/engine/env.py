"""Env: a job's environment, words by name, as a unix process has them.

Values are strings; the typed getters are how a handler decodes them once, at its border.
It knows nothing of jobs or of what the names mean.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from typing import Any

from mini_docker.errors import Invalid

_TRUE = frozenset({"1", "true", "t", "yes", "y", "on"})
_FALSE = frozenset({"", "0", "false", "f", "no", "n", "off", "none"})


class Env(MutableMapping[str, str]):
    """An ordered map from names to strings, with typed views.

    Source: classic Docker's ``engine/env.go`` (GetBool, GetInt, GetList, GetJson, Encode, Decode).
    """

    def __init__(self, values: Mapping[str, str] | Iterable[tuple[str, str]] = ()) -> None:
        self._values: dict[str, str] = {}
        for name, value in dict(values).items():
            self[name] = value

    def __getitem__(self, name: str) -> str:
        return self._values[name]

    def __setitem__(self, name: str, value: str) -> None:
        if not name or "=" in name or "\0" in name:
            raise Invalid(f"bad environment name {name!r}: it must not be empty nor hold '=' or a NUL")
        self._values[name] = value

    def __delitem__(self, name: str) -> None:
        del self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Env({self._values!r})"

    def get_bool(self, name: str, default: bool = False) -> bool:
        """The value as a truth: 1/true/yes/on or 0/false/no/off/empty, in any case.

        Raises:
            Invalid: the value is none of these words.
        """
        if name not in self._values:
            return default
        word = self._values[name].strip().lower()
        if word in _TRUE:
            return True
        if word in _FALSE:
            return False
        raise Invalid(f"bad value for {name}: {self._values[name]!r} is neither true nor false")

    def get_int(self, name: str, default: int = 0) -> int:
        """The value as a whole number; *default* when absent or empty.

        Raises:
            Invalid: the value is not a whole number.
        """
        text = self._values.get(name, "")
        if text == "":
            return default
        try:
            return int(text)
        except ValueError:
            raise Invalid(f"bad value for {name}: {text!r} is not a whole number") from None

    def get_json(self, name: str, default: Any = None) -> Any:
        """The value decoded from JSON; *default* when absent or empty.

        Raises:
            Invalid: the value is not JSON.
        """
        text = self._values.get(name, "")
        if text == "":
            return default
        try:
            return json.loads(text)
        except ValueError as error:
            raise Invalid(f"bad value for {name}: not JSON: {error}") from None

    def get_list(self, name: str) -> list[str]:
        """The value as a list: a JSON list of strings, or one bare word.

        Raises:
            Invalid: it is a JSON list whose members are not all strings.
        """
        text = self._values.get(name, "")
        if text == "":
            return []
        if not text.startswith("["):
            return [text]
        value = self.get_json(name)
        if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
            raise Invalid(f"bad value for {name}: not a list of strings")
        return value

    def set_bool(self, name: str, value: bool) -> None:
        """Store a truth as ``1`` or ``0``."""
        self[name] = "1" if value else "0"

    def set_int(self, name: str, value: int) -> None:
        """Store a whole number in decimal."""
        self[name] = str(value)

    def set_json(self, name: str, value: object) -> None:
        """Store any JSON value; a list of strings comes back through `get_list`."""
        self[name] = json.dumps(value)

    set_list = set_json

    def encode(self) -> bytes:
        """The environment as one JSON object of strings."""
        return json.dumps(self._values).encode()

    @classmethod
    def decode(cls, data: bytes) -> Env:
        """The inverse of `encode`.

        Raises:
            Invalid: *data* is not a JSON object of strings.
        """
        try:
            values = json.loads(data)
        except ValueError as error:
            raise Invalid(f"bad environment: not JSON: {error}") from None
        if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
            raise Invalid("bad environment: not an object of strings")
        return cls(values)

"""Filters: the sieve that ``--filter`` puts before a list. Key → the values of which one must match.

It knows how a filter is spelled on the wire and how words match; what the keys mean is each list's own.

Source: Docker's ``api/types/filters/parse.go``; for prunes its ``daemon/prune.go``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping

from mini_docker.daemon.container.timestamps import parse_time
from mini_docker.dataclasses import dataclass, field
from mini_docker.errors import Invalid


@dataclass(frozen=True, slots=True)
class Filters:
    """A parsed filter. An absent key lets everything through."""

    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str, allowed: Iterable[str]) -> Filters:
        """Read ``{"k":{"v":true}}``, ``{"k":["v"]}`` or nothing.

        Raises:
            Invalid: not such an object, or a key that is not *allowed*.
        """
        if not text:
            return cls()
        try:
            data = json.loads(text)
        except ValueError:
            raise Invalid(f"invalid filters: not JSON: {text!r}") from None
        if data is None:
            return cls()
        if not isinstance(data, dict):
            raise Invalid(f"invalid filters: expected an object, got {text!r}")
        values = {}
        for key, value in data.items():
            if key not in allowed:
                raise Invalid(f"Invalid filter '{key}'")
            words = [word for word, wanted in value.items() if wanted] if isinstance(value, dict) else value
            if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
                raise Invalid(f"invalid filters: the values of {key!r} are not strings")
            values[key] = tuple(words)
        return cls(values)

    def __contains__(self, key: str) -> bool:
        return bool(self.values.get(key))

    def get(self, key: str) -> tuple[str, ...]:
        """The values of *key*; none when it is absent."""
        return self.values.get(key, ())

    def exact(self, key: str, *candidates: str) -> bool:
        """Whether one value equals one candidate."""
        words = self.values.get(key)
        return not words or any(candidate in words for candidate in candidates)

    def fuzzy(self, key: str, *candidates: str) -> bool:
        """Whether one value is a beginning of one candidate, or a regular expression found in it."""
        words = self.values.get(key)
        return not words or any(_like(word, candidate) for word in words for candidate in candidates)

    def prefix(self, key: str, candidate: str) -> bool:
        """Whether one value is a beginning of the candidate."""
        words = self.values.get(key)
        return not words or any(candidate.startswith(word) for word in words)

    def labels(self, labels: Mapping[str, str], key: str = "label") -> bool:
        """Whether *labels* has every wanted one, ``name`` or ``name=value``: here all values must match."""
        for word in self.values.get(key, ()):
            name, equals, value = word.partition("=")
            if name not in labels or (equals and labels[name] != value):
                return False
        return True

    def truth(self, key: str) -> bool | None:
        """The value as a truth; None when the key is absent.

        Raises:
            Invalid: the value is neither.
        """
        words = self.values.get(key)
        if not words:
            return None
        meanings = {"1": True, "true": True, "0": False, "false": False}
        if len(words) != 1 or words[0].lower() not in meanings:
            raise Invalid(f"Invalid filter '{key}={list(words)}'")
        return meanings[words[0].lower()]


@dataclass(frozen=True, slots=True)
class PruneFilters:
    """What a prune is to take and what it spares, the same for containers, images, networks and volumes.

    Attributes:
        filters: as they came; keys beyond the common ones are each prune's own.
        until: nanoseconds since the epoch, what was made later is spared; None when nothing was said.
    """

    filters: Filters
    until: int | None = None

    @classmethod
    def parse(cls, text: str, *further: str, until: bool = True) -> PruneFilters:
        """Read the keys ``label``, ``label!``, ``until`` and those of this prune alone.

        Args:
            further: the keys of this prune alone.
            until: whether what is pruned has an age.

        Raises:
            Invalid: not such an object, an unknown key, or a time that is none.
        """
        filters = Filters.parse(text, ("label", "label!", *(("until",) if until else ()), *further))
        times = filters.get("until")
        if len(times) > 1:
            raise Invalid("more than one until filter specified")
        return cls(filters, parse_time(times[0]) if times else None)

    def spares(self, labels: Mapping[str, str], created: int = 0) -> bool:
        """Whether something is to stay.

        Args:
            created: nanoseconds since the epoch; 0 is older than all.
        """
        unwanted = "label!" in self.filters and self.filters.labels(labels, "label!")
        too_young = self.until is not None and created > self.until
        return unwanted or too_young or not self.filters.labels(labels)


def _like(word: str, candidate: str) -> bool:
    if candidate.startswith(word):
        return True
    try:
        return re.search(word, candidate) is not None
    except re.error:
        return False

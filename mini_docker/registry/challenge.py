"""Challenges: a server's "who are you?", the ``WWW-Authenticate`` header, read into values.

Pure text work: it knows no registry and asks nobody for a token.

Source: RFC 9110, section 11.6.1 (a list of challenges, each a scheme with parameters).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from mini_docker.dataclasses import dataclass, field

_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PARAMETER = re.compile(rf'\s*({_WORD})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|({_WORD}))\s*')
_SCHEME = re.compile(rf"[\s,]*({_WORD})(?=[\s,]|$)")
_COMMA = re.compile(r"[\s,]*")


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way to prove who you are.

    Attributes:
        scheme: in lower case: ``bearer``, ``basic``.
        parameters: names in lower case: ``realm``, ``service``, ``scope``, ``error``.
    """

    scheme: str
    parameters: dict[str, str] = field(default_factory=dict)

    def get(self, name: str) -> str:
        """A parameter, empty when absent."""
        return self.parameters.get(name, "")


def parse_challenges(headers: Iterable[str]) -> list[Challenge]:
    """Read every challenge of every ``WWW-Authenticate`` header; what cannot be read is skipped, as a browser does."""
    challenges: list[Challenge] = []
    for header in headers:
        position = 0
        while position < len(header):
            scheme = _SCHEME.match(header, position)
            if scheme is None:
                break
            position = scheme.end()
            parameters: dict[str, str] = {}
            while (parameter := _PARAMETER.match(header, position)) is not None:
                quoted, bare = parameter[2], parameter[3]
                value = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else bare
                parameters.setdefault(parameter[1].lower(), value)
                comma = _COMMA.match(header, parameter.end())
                position = comma.end() if comma else parameter.end()
            challenges.append(Challenge(scheme[1].lower(), parameters))
    return challenges

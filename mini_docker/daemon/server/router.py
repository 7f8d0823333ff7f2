"""The router: finds a request's line in the route table, as a switchboard operator does.

It knows paths, methods and API versions; it runs nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from mini_docker.daemon.server.routes import Route
from mini_docker.dataclasses import dataclass
from mini_docker.errors import Invalid, NotFound
from mini_docker.remote_api import API_VERSION, MIN_API_VERSION

_VERSIONED = re.compile(r"/v(\d{1,4})\.(\d{1,4})(/.*)", re.DOTALL)
_PARAMETER = re.compile(r"\{\w+(:path)?\}")


class PageNotFound(NotFound):
    """No route has this path."""


class MethodNotAllowed(Invalid):
    """The path is known, but not with this method.

    Args:
        method: the one that was asked for.
        allowed: those that the path has.
    """

    def __init__(self, method: str, allowed: Iterable[str]) -> None:
        self.allowed = tuple(sorted(set(allowed)))
        super().__init__(f"method {method} is not allowed here: use {' or '.join(self.allowed)}")


@dataclass(frozen=True, slots=True)
class Match:
    """A route, and the arguments that the path gives its job."""

    route: Route
    args: tuple[str, ...]


class Router:
    """An index over the table: whole paths first, then patterns, in the table's order.

    Args:
        routes: the table.
    """

    def __init__(self, routes: Iterable[Route]) -> None:
        self._exact: dict[str, list[Route]] = {}
        self._patterns: dict[str, list[tuple[re.Pattern[str], Route]]] = {}
        for route in routes:
            if "{" in route.pattern:
                self._patterns.setdefault(_first_segment(route.pattern), []).append((_compile(route.pattern), route))
            else:
                self._exact.setdefault(route.pattern, []).append(route)

    def match(self, method: str, path: str, query: Mapping[str, object]) -> Match:
        """The route for a request, by its decoded path, with or without an API version before it.

        Raises:
            Invalid: the version is one that this server does not speak.
            PageNotFound: no such path, or none with these parameters.
            MethodNotAllowed: the path has other methods.
        """
        path = strip_version(path)
        others: list[str] = []
        method_known = False
        for match in self._candidates(path):
            if match.route.method != method:
                others.append(match.route.method)
            elif not match.route.requires or match.route.requires in query:
                return match
            else:
                method_known = True
        if others and not method_known:
            raise MethodNotAllowed(method, others)
        raise PageNotFound("page not found")

    def _candidates(self, path: str) -> Iterable[Match]:
        for route in self._exact.get(path, ()):
            yield Match(route, ())
        for pattern, route in self._patterns.get(_first_segment(path), ()):
            found = pattern.fullmatch(path)
            if found:
                yield Match(route, found.groups())


def strip_version(path: str) -> str:
    """*path* without its ``/v1.41`` in front.

    Raises:
        Invalid: a version older or newer than this server's range, in the words Docker has for it.
    """
    found = _VERSIONED.fullmatch(path)
    if not found:
        return path
    version = int(found[1]), int(found[2])
    if version < _numbers(MIN_API_VERSION):
        raise Invalid(
            f"client version {found[1]}.{found[2]} is too old. Minimum supported API version is {MIN_API_VERSION}, "
            "please upgrade your client to a newer version"
        )
    if version > _numbers(API_VERSION):
        raise Invalid(
            f"client version {found[1]}.{found[2]} is too new. Maximum supported API version is {API_VERSION}"
        )
    return found[3]


def _numbers(version: str) -> tuple[int, int]:
    major, _, minor = version.partition(".")
    return int(major), int(minor)


def _first_segment(path: str) -> str:
    return path[1:].partition("/")[0]


def _compile(pattern: str) -> re.Pattern[str]:
    parts: list[str] = []
    position = 0
    for parameter in _PARAMETER.finditer(pattern):
        parts += re.escape(pattern[position : parameter.start()]), "([^/].*)" if parameter[1] else "([^/]+)"
        position = parameter.end()
    return re.compile("".join(parts) + re.escape(pattern[position:]), re.DOTALL)

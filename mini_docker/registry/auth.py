"""Auth: the token dance. The registry says "ask over there", the token server looks at the caller and writes a ticket.

    client ── GET /v2/… ───────────────────────▶ registry
           ◀─ 401 Bearer realm, service, scope ──
           ── GET realm?service&scope (Basic) ──▶ token server
           ◀─ {"token": …, "expires_in": 300} ──
           ── GET /v2/…, Bearer token ──────────▶ registry

It does not know what is fetched with the tickets, nor how HTTP works.

Sources: "Token Authentication Specification" and "OAuth2" of the distribution project.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit, urlunsplit

from mini_docker.dataclasses import dataclass
from mini_docker.errors import Unauthorized
from mini_docker.registry.challenge import Challenge
from mini_docker.registry.credentials import Credentials
from mini_docker.registry.errors import refusal

if TYPE_CHECKING:
    from mini_docker.registry.transport import Transport

CLIENT_ID = "docker"
SHORTEST_LIFE = 60.0
"""Seconds. Source: token specification: a token without ``expires_in`` lives 60 seconds."""
_MARGIN = 5.0  # seconds before its end at which a token is no longer handed out: it must survive the request


@dataclass(frozen=True, slots=True)
class Token:
    """A ticket.

    Attributes:
        value: what goes behind ``Bearer``.
        expires: on the monotonic clock.
        refresh: an identity token, when the server gave one.
    """

    value: str
    expires: float
    refresh: str = ""


class TokenCache:
    """Tickets by what they are for, as long as they are good. Threads may share it.

    *Guarded by the lock*: the tokens.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._lock = threading.Lock()
        self._tokens: dict[tuple[str, ...], Token] = {}

    def get(self, key: tuple[str, ...]) -> Token | None:
        """The ticket for *key* that is still good for a request."""
        with self._lock:
            token = self._tokens.get(key)
            return token if token is not None and token.expires - _MARGIN > self.clock() else None

    def put(self, key: tuple[str, ...], token: Token) -> None:
        """Keep a ticket, and forget those that are over."""
        with self._lock:
            now = self.clock()
            self._tokens = {name: kept for name, kept in self._tokens.items() if kept.expires > now}
            self._tokens[key] = token

    def drop(self, value: str) -> None:
        """Forget a ticket that a registry refused, whatever its date says."""
        with self._lock:
            self._tokens = {name: kept for name, kept in self._tokens.items() if kept.value != value}


class Authorizer:
    """Answers challenges for one caller.

    Args:
        transport: to reach token servers with, under the endpoint's trust.
        credentials: who the caller is.
        tokens: where tickets are kept.
    """

    def __init__(self, transport: Transport, credentials: Credentials, tokens: TokenCache) -> None:
        self._transport = transport
        self._credentials = credentials
        self._tokens = tokens

    def header(self, challenges: list[Challenge], scopes: tuple[str, ...]) -> str:
        """The ``Authorization`` to send to whoever sent *challenges*; empty when none was asked for.

        Args:
            scopes: what it shall be good for: ``repository:library/busybox:pull``.

        Raises:
            Unauthorized: it cannot be given. Unreachable: the token server does not answer.
        """
        if self._credentials.registry_token:
            return f"Bearer {self._credentials.registry_token}"
        for challenge in challenges:
            if challenge.scheme == "bearer" and challenge.get("realm"):
                return f"Bearer {self._token(challenge, scopes).value}"
        if any(challenge.scheme == "basic" for challenge in challenges):
            if not self._credentials.username:
                raise Unauthorized("no basic auth credentials")
            return self._credentials.basic()
        if challenges:
            schemes = ", ".join(challenge.scheme for challenge in challenges)
            raise Unauthorized(f"the registry asks for authentication by {schemes}, which Docker does not speak")
        return ""

    def refused(self, header: str) -> None:
        """Take note that a registry did not accept *header*: its ticket is not handed out again."""
        scheme, _, value = header.partition(" ")
        if scheme == "Bearer":
            self._tokens.drop(value)

    def identity_token(self, challenges: list[Challenge], scopes: tuple[str, ...] = ()) -> str:
        """What ``docker login`` keeps instead of the password, where the token server offers it; else empty.

        Raises:
            Unauthorized: the token server does not accept the caller.
        """
        for challenge in challenges:
            if challenge.scheme == "bearer" and challenge.get("realm"):
                return self._fetch(challenge, scopes, offline=True).refresh
        return ""

    def _token(self, challenge: Challenge, scopes: tuple[str, ...]) -> Token:
        asked = challenge.get("scope")
        wanted = tuple(dict.fromkeys((*scopes, *(asked.split() if asked and not scopes else ()))))
        key = (challenge.get("realm"), challenge.get("service"), self._credentials.fingerprint(), *sorted(wanted))
        token = self._tokens.get(key)
        if token is None:
            token = self._fetch(challenge, wanted, offline=False)
            self._tokens.put(key, token)
        return token

    def _fetch(self, challenge: Challenge, scopes: tuple[str, ...], offline: bool) -> Token:
        realm, service, credentials = challenge.get("realm"), challenge.get("service"), self._credentials
        if credentials.identity_token:
            form = {
                "grant_type": "refresh_token", "service": service, "client_id": CLIENT_ID,
                "scope": " ".join(scopes), "refresh_token": credentials.identity_token,
            }  # fmt: skip
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            response = self._transport.request("POST", realm, headers, lambda: urlencode(form).encode())
        else:
            query = [("service", service)] if service else []
            query += [("scope", scope) for scope in scopes]
            query += [("account", credentials.username)] if credentials.username else []
            query += [("offline_token", "true"), ("client_id", CLIENT_ID)] if offline else []
            headers = {"Authorization": credentials.basic()} if credentials.username else {}
            response = self._transport.request("GET", _with_query(realm, query), headers)
        body = response.read_small()
        if response.status != 200:
            raise refusal(response.status, body, f"GET {realm}")
        return self._read_token(body)

    def _read_token(self, body: bytes) -> Token:
        try:
            value = json.loads(body)
        except (ValueError, RecursionError):
            value = None
        text = (value.get("token") or value.get("access_token")) if isinstance(value, Mapping) else None
        if not isinstance(value, Mapping) or not isinstance(text, str) or not text or not text.isascii():
            raise Unauthorized("authorization server did not include a token in the response")
        if any(character.isspace() for character in text):
            raise Unauthorized("authorization server sent a token with white space in it")
        life = value.get("expires_in")
        seconds = float(life) if isinstance(life, (int, float)) and life > 0 else SHORTEST_LIFE
        return Token(text, self._tokens.clock() + max(seconds, SHORTEST_LIFE), str(value.get("refresh_token") or ""))


def _with_query(url: str, query: list[tuple[str, str]]) -> str:
    parts = urlsplit(url)
    joined = "&".join(part for part in (parts.query, urlencode(query)) if part)
    return urlunsplit((parts.scheme, parts.netloc, parts.path, joined, ""))

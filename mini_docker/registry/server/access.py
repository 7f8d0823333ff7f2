"""Access: who guards the door. Nobody, a porter who knows passwords, or one who reads tickets.

The ticket office (``/token``) is part of the same server, so that the whole dance of Docker Hub can be
watched on one machine. It knows requests and scopes, not what is behind the door.

Sources: "Token Authentication Specification" and "OAuth2" of the distribution project; RFC 7617 (Basic), RFC 6750
(Bearer).
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Protocol
from urllib.parse import parse_qsl

from mini_docker.dataclasses import dataclass
from mini_docker.http.messages import Answer
from mini_docker.http.responder import Responder
from mini_docker.registry.server.errors import Refused
from mini_docker.registry.server.passwords import Passwords
from mini_docker.registry.server.request import Asked, checked_name
from mini_docker.registry.server.tickets import Ticket, TicketOffice

REALM = "mini-docker registry"
SERVICE = "mini-docker-registry"


class Access(Protocol):
    """Who may do what."""

    def check(self, asked: Asked) -> None:
        """Let the request pass.

        Raises:
            Refused: 401 with a challenge, or 403.
        """

    def give_token(self, asked: Asked, responder: Responder) -> None:
        """Answer ``/token``.

        Raises:
            Refused: no tickets here, or not for this caller.
        """


class OpenAccess:
    """Everybody may do everything: a registry on loopback."""

    def check(self, asked: Asked) -> None:
        """Pass."""

    def give_token(self, asked: Asked, responder: Responder) -> None:
        """There are no tickets."""
        raise Refused("UNSUPPORTED", "this registry gives no tokens", status=404)


class BasicAccess(OpenAccess):
    """Whoever has a password may do everything."""

    def __init__(self, passwords: Passwords) -> None:
        self._passwords = passwords

    def check(self, asked: Asked) -> None:
        """Look at the password that comes with the request."""
        if not authenticated(self._passwords, asked):
            challenge = ("WWW-Authenticate", f'Basic realm="{REALM}"')
            raise Refused("UNAUTHORIZED", "authentication required", headers=(challenge,))


class TokenAccess:
    """Whoever has a ticket may do what stands on it; the office gives tickets for passwords.

    Args:
        anonymous_pull: whether strangers get tickets for pulling.
        scheme: ``http`` or ``https``: how the office is reached, unless a proxy in front of it says otherwise.
    """

    def __init__(self, passwords: Passwords, office: TicketOffice, anonymous_pull: bool, scheme: str = "http") -> None:
        self._passwords = passwords
        self._office = office
        self._anonymous_pull = anonymous_pull
        self._scheme = scheme

    def check(self, asked: Asked) -> None:
        """Read the ticket that comes with the request."""
        scopes = scopes_of(asked)
        kind, _, text = asked.request.header("authorization").partition(" ")
        ticket = self._office.read(text) if kind.lower() == "bearer" else None
        if ticket is not None and all(map(ticket.grants, scopes)):
            return
        host, scheme = asked.request.header("host"), asked.request.header("x-forwarded-proto", self._scheme)
        challenge = f'Bearer realm="{scheme}://{host}/token",service="{SERVICE}"'
        challenge += f',scope="{" ".join(scopes)}"' if scopes else ""
        if kind:
            challenge += ',error="insufficient_scope"' if ticket else ',error="invalid_token"'
        message = "requested access to the resource is denied" if ticket else "authentication required"
        headers = (("WWW-Authenticate", challenge),)
        raise Refused("DENIED" if ticket else "UNAUTHORIZED", message, status=401, headers=headers)

    def give_token(self, asked: Asked, responder: Responder) -> None:
        """Write a ticket: by GET for a password, by POST as OAuth2 has it."""
        demand = self._by_post(asked) if asked.request.method == "POST" else self._by_get(asked)
        granted = tuple(scope for scope in (self._allowed(demand.user, scope) for scope in demand.scopes) if scope)
        text, seconds = self._office.write(Ticket(demand.user, granted))
        value: dict[str, object] = {"token": text, "access_token": text, "expires_in": seconds}
        if demand.offline and demand.user:
            value["refresh_token"] = self._office.refresh_token(demand.user, self._passwords.stamp(demand.user))
        responder.answer(Answer(200, (("Content-Type", "application/json"),), json.dumps(value).encode()))

    def _by_get(self, asked: Asked) -> _Demand:
        user = authenticated(self._passwords, asked)
        if user is None and asked.request.header("authorization"):
            raise Refused("UNAUTHORIZED", "incorrect username or password")
        scopes = " ".join(value for name, value in asked.request.query if name == "scope").split()
        return _Demand(user or "", scopes, asked.query("offline_token") == "true")

    def _by_post(self, asked: Asked) -> _Demand:
        form = dict(parse_qsl(asked.request.body.read().decode(errors="replace")))
        if form.get("grant_type") == "password":
            user = form.get("username", "")
            known = self._passwords.verify(user, form.get("password", ""))
        else:
            # Good until the password changes or the user is gone: then the stamp is another.
            user, stamp = self._office.bearer_of(form.get("refresh_token", ""))
            known = bool(user) and stamp == self._passwords.stamp(user)
        if not known:
            raise Refused("UNAUTHORIZED", "incorrect username or password, or a refresh token that is over")
        return _Demand(user, form.get("scope", "").split(), form.get("access_type") == "offline")

    def _allowed(self, user: str, scope: str) -> str:
        """As much of a scope as the caller may have; empty for none."""
        if user:
            return scope
        kind, _, rest = scope.partition(":")
        name, _, actions = rest.rpartition(":")
        if self._anonymous_pull and kind == "repository" and "pull" in actions.split(","):
            return f"repository:{name}:pull"
        return ""


@dataclass(frozen=True, slots=True)
class _Demand:
    """What somebody who asks for a ticket wants.

    Attributes:
        user: who it is; empty for a stranger.
        offline: whether also what to trade in for further tickets.
    """

    user: str
    scopes: list[str]
    offline: bool


def scopes_of(asked: Asked) -> tuple[str, ...]:
    """What a ticket for the request must cover: ``repository:me/app:pull``; empty where any ticket will do."""
    if asked.kind == "catalog":
        return ("registry:catalog:*",)
    if not asked.repository:
        return ()
    action = {"GET": "pull", "HEAD": "pull", "DELETE": "delete"}.get(asked.request.method, "push")
    if asked.kind == "uploads":
        action = "push"
    scope = f"repository:{asked.repository}:{action}"
    source = asked.query("from")
    if asked.kind == "uploads" and asked.query("mount") and source:
        # Whoever mounts reads from there: else a digest would be enough to get at another repository's blob.
        return scope, f"repository:{checked_name(source)}:pull"
    return (scope,)


def authenticated(passwords: Passwords, asked: Asked) -> str | None:
    """The user whose name and password came with the request (RFC 7617); None for nobody."""
    scheme, _, text = asked.request.header("authorization").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, _, password = base64.b64decode(text, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return user if passwords.verify(user, password) else None

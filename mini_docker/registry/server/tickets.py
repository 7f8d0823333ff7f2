"""Tickets: what a caller may do and until when, signed so that the porter need not ask the office.

A ticket is a JSON Web Token (RFC 7519) with HMAC-SHA256: porter and office share the key. Docker Hub
signs with a private key instead, for its porters are many.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mini_docker.dataclasses import dataclass

LIFE_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Ticket:
    """Who may do what.

    Attributes:
        user: empty for a stranger.
        scopes: ``repository:me/app:pull,push``.
    """

    user: str
    scopes: tuple[str, ...]

    def grants(self, scope: str) -> bool:
        """Whether *scope*, with one action, is covered. Who may push may delete."""
        name, _, action = scope.rpartition(":")
        for granted in self.scopes:
            granted_name, _, actions = granted.rpartition(":")
            allowed = set(actions.split(","))
            if "push" in allowed:
                allowed.add("delete")
            if granted_name == name and (action in allowed or "*" in allowed):
                return True
        return False


class TicketOffice:
    """Writes and reads tickets.

    *Fixed*: the key.
    """

    def __init__(self, key: bytes, clock: Callable[[], float] = time.time) -> None:
        self._key = key
        self._clock = clock

    @classmethod
    def at(cls, path: Path) -> TicketOffice:
        """An office whose key is kept in a file, so that tickets outlive a restart; made at the first time."""
        if not path.exists():
            draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(descriptor, "wb") as file:
                file.write(secrets.token_bytes(32))
            os.replace(draft, path)
        return cls(path.read_bytes())

    def write(self, ticket: Ticket) -> tuple[str, int]:
        """The ticket as text, and how many seconds it is good for."""
        claims = {
            "sub": ticket.user,
            "scopes": list(ticket.scopes),
            "exp": self._clock() + LIFE_SECONDS,
            "use": "access",
        }
        return self._sign(claims), LIFE_SECONDS

    def read(self, text: str) -> Ticket | None:
        """The ticket, if we wrote it and it is still good."""
        claims = self._verify(text, "access")
        if claims is None or claims["exp"] < self._clock():
            return None
        return Ticket(claims["sub"], tuple(claims["scopes"]))

    def refresh_token(self, user: str, stamp: str) -> str:
        """What a user may trade in for tickets instead of the password, as long as the password has this *stamp*."""
        return self._sign({"sub": user, "use": "refresh", "stamp": stamp})

    def bearer_of(self, refresh_token: str) -> tuple[str, str]:
        """Whose refresh token it is, and the stamp of the password it was given for; both empty if not ours."""
        claims = self._verify(refresh_token, "refresh") or {}
        return str(claims.get("sub", "")), str(claims.get("stamp", ""))

    def _sign(self, claims: dict[str, Any]) -> str:
        head = _encode(json.dumps({"typ": "JWT", "alg": "HS256"}).encode())
        text = f"{head}.{_encode(json.dumps(claims).encode())}"
        return f"{text}.{_encode(self._signature(text))}"

    def _verify(self, text: str, use: str) -> dict[str, Any] | None:
        """The claims of what we signed for *use*. Nothing is read before the signature is found good."""
        signed, _, signature = text.rpartition(".")
        try:
            if not hmac.compare_digest(_decode(signature), self._signature(signed)):
                return None
        except (binascii.Error, ValueError):
            return None
        claims: dict[str, Any] = json.loads(_decode(signed.partition(".")[2]))
        return claims if claims.get("use") == use else None

    def _signature(self, text: str) -> bytes:
        return hmac.new(self._key, text.encode(), hashlib.sha256).digest()


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))

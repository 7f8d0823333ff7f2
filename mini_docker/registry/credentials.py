"""Credentials: who the caller says it is, as the client sends it with each request.

The daemon keeps no passwords: the client reads them from its config file and sends them along in
the ``X-Registry-Auth`` header. This module decodes that header, and knows no registry.

Source: Docker Engine API 1.41, "Authentication".
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping

from mini_docker.dataclasses import dataclass, field
from mini_docker.errors import Invalid


@dataclass(frozen=True, slots=True)
class Credentials:
    """One of three: a name with a password, an identity token to trade in, or a bearer token ready to use.

    Secrets stay out of ``repr``, and so out of logs and tracebacks.
    """

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    registry_token: str = field(default="", repr=False)
    server_address: str = ""

    @classmethod
    def from_json(cls, value: object) -> Credentials:
        """Read the object of the Remote API.

        Raises:
            Invalid: not an object of strings.
        """
        if not isinstance(value, Mapping):
            raise Invalid("invalid X-Registry-Auth: not a JSON object")

        def text(name: str) -> str:
            found = value.get(name) or ""
            if not isinstance(found, str):
                raise Invalid(f"invalid X-Registry-Auth: {name} is not a string")
            return found

        username, password = text("username"), text("password")
        if text("auth") and not username:
            username, _, password = _from_base64(text("auth")).decode(errors="replace").partition(":")
        return cls(username, password, text("identitytoken"), text("registrytoken"), text("serveraddress"))

    @classmethod
    def decode(cls, header: str) -> Credentials:
        """Read the ``X-Registry-Auth`` header: JSON in URL-safe base64; empty means anonymous.

        Raises:
            Invalid: it is neither.
        """
        if not header:
            return cls()
        try:
            value = json.loads(_from_base64(header))
        except ValueError as error:
            raise Invalid(f"invalid X-Registry-Auth header: {error}") from None
        return cls.from_json(value)

    @property
    def anonymous(self) -> bool:
        """Whether the caller gave no proof of any kind."""
        return not (self.username or self.identity_token or self.registry_token)

    def basic(self) -> str:
        """The value of an ``Authorization`` header (RFC 7617)."""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()

    def fingerprint(self) -> str:
        """A name for these credentials under which tokens can be cached; the secrets cannot be read from it."""
        secrets = json.dumps([self.username, self.password, self.identity_token, self.registry_token])
        return hashlib.sha256(secrets.encode()).hexdigest()


def _from_base64(text: str) -> bytes:
    """Either alphabet, with or without its padding: clients differ."""
    standard = text.strip().replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)
    except binascii.Error as error:
        raise Invalid(f"invalid X-Registry-Auth header: {error}") from None

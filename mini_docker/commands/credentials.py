"""The key ring: registries' user names and passwords, in Docker's own ``config.json``.

Source: docs.docker.com/reference/cli/docker/login, "Credentials store": the plain store, ``auths``.
"""

from __future__ import annotations

import json
import os
from base64 import b64decode, b64encode, urlsafe_b64encode
from pathlib import Path

from mini_docker.commands.failure import CommandFailed

TYPE_CHECKING = False  # what typing.TYPE_CHECKING is, without its 3 ms
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


def encode_auth(auth: Mapping[str, str]) -> str:
    """An auth object as the header X-Registry-Auth takes it; nothing known is ``{}``."""
    return urlsafe_b64encode(json.dumps(auth).encode()).decode()


class KeyRing:
    """The log-ins of this user.

    Args:
        folder: where ``config.json`` is; None: ``$DOCKER_CONFIG``, else ``~/.docker``.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._path = (folder or Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")) / "config.json"

    def get(self, registry: str) -> dict[str, str]:
        """The auth object for *registry*; empty when there is none.

        Raises:
            CommandFailed: the file is broken.
        """
        entry = self._load().get("auths", {}).get(registry) or {}
        if entry.get("identitytoken"):
            return {"identitytoken": entry["identitytoken"], "serveraddress": registry}
        try:
            user, _, password = b64decode(entry.get("auth", "")).decode().partition(":")
        except ValueError:
            raise CommandFailed(f"{self._path}: the entry for {registry} is not base64; log in again") from None
        return {"username": user, "password": password, "serveraddress": registry} if user else {}

    def put(self, registry: str, user: str, password: str, identity_token: str = "") -> None:
        """Keep a log-in; a token that the registry gave stands in for the password."""
        secret = "" if identity_token else password
        entry = {"auth": b64encode(f"{user}:{secret}".encode()).decode()}
        if identity_token:
            entry["identitytoken"] = identity_token
        value = self._load()
        value.setdefault("auths", {})[registry] = entry
        self._save(value)

    def remove(self, registry: str) -> bool:
        """Forget a log-in; whether there was one."""
        value = self._load()
        known = value.get("auths", {}).pop(registry, None) is not None
        if known:
            self._save(value)
        return known

    def _load(self) -> dict[str, Any]:
        try:
            value = json.loads(self._path.read_bytes())
        except FileNotFoundError:
            return {}
        except (ValueError, OSError) as error:
            raise CommandFailed(f"cannot read {self._path}: {error}") from None
        if not isinstance(value, dict):
            raise CommandFailed(f"{self._path}: not a JSON object")
        return value

    def _save(self, value: dict[str, Any]) -> None:
        """Replace the file in one step, readable by its owner only."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        beside = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        try:
            descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with open(descriptor, "w", encoding="utf-8") as file:
                json.dump(value, file, indent=8)
            os.replace(beside, self._path)
        except OSError:
            beside.unlink(missing_ok=True)
            raise

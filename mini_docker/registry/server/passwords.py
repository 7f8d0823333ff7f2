"""Passwords: an htpasswd file, ``name:hash`` a line, and the C library's crypt to compare with.

libcrypt knows bcrypt (``htpasswd -B``), SHA-512, yescrypt and the others of crypt(5). It is the one C
library that the registry calls: bcrypt in Python would be a thousand times slower than an attacker's.

Source: crypt(3), crypt(5); htpasswd(1).
"""

from __future__ import annotations

import ctypes
import ctypes.util
import hashlib
import hmac
import logging
import os
import secrets
import threading
from collections.abc import Mapping
from pathlib import Path

from mini_docker.errors import Invalid, Unsupported

log = logging.getLogger(__name__)

_UNUSABLE = "$2b$10$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"  # the cost of a check for unknown names
_LIBCRYPT = ("libcrypt.so.1", "libcrypt.so.2")
_BCRYPT, _COST = b"$2b$", 10


class Passwords:
    """The users of a registry.

    *Fixed*: the file, the key of the memory.
    *Guarded by the lock*: crypt's one static buffer, the users as the file had them last, the memory of passwords that
    were right. Clients of basic auth send theirs with each request, and crypt takes 50 ms to be sure.

    Args:
        users: hashes by name.
        path: the file that they are in, looked at again when it changes; None for no file.

    Raises:
        Unsupported: this machine has no libcrypt.
    """

    def __init__(self, users: Mapping[str, str], path: Path | None = None) -> None:
        self._users = users
        self._path = path
        self._state = _state(path)
        self._lock = threading.Lock()
        self._key = secrets.token_bytes(32)
        self._right: set[bytes] = set()
        library = _libcrypt()
        self._crypt = library.crypt
        self._crypt.argtypes = (ctypes.c_char_p, ctypes.c_char_p)
        self._crypt.restype = ctypes.c_char_p

    @classmethod
    def read(cls, path: Path) -> Passwords:
        """Read an htpasswd file, now and whenever it has changed.

        Raises:
            Invalid: it is missing, or a line is no ``name:hash``.
        """
        return cls(_parse(path), path)

    def verify(self, user: str, password: str) -> bool:
        """Whether the password is the user's. An unknown user takes as long as a known one with a wrong password."""
        if "\0" in password:
            return False
        hashed = self.hash_of(user) or _UNUSABLE
        seen = hmac.digest(self._key, f"{user}\0{password}\0{hashed}".encode(), "sha256")
        if seen in self._right:
            return True
        # htpasswd writes bcrypt as $2y$, which is what crypt(5) calls $2b$.
        setting = hashed.replace("$2y$", "$2b$", 1)
        if not hmac.compare_digest(self.hash(password, setting), setting) or hashed == _UNUSABLE:
            return False
        with self._lock:
            self._right.add(seen)
        return True

    def hash_of(self, user: str) -> str:
        """The user's hash as it stands in the file now; empty for nobody."""
        with self._lock:
            state = _state(self._path)
            if self._path is not None and state != self._state:
                self._state = state
                try:
                    self._users = _parse(self._path)
                    self._right.clear()
                except Invalid as error:
                    log.error("%s; the users stay as they were", error)
            return self._users.get(user, "")

    def hash(self, password: str, setting: str) -> str:
        """crypt(3) of a password."""
        with self._lock:
            found: bytes | None = self._crypt(password.encode(), setting.encode())
        return (found or b"*").decode("ascii", "replace")

    def stamp(self, user: str) -> str:
        """What changes when the user's password does; empty for nobody. The hash cannot be read from it."""
        hashed = self.hash_of(user)
        return hashlib.sha256(hashed.encode()).hexdigest()[:16] if hashed else ""


def new_line(user: str, password: str) -> str:
    """The line of an htpasswd file for a user, with a new bcrypt hash.

    Raises:
        Invalid: not a name or a password that such a line can hold. Unsupported: this machine's crypt has no bcrypt.
    """
    if not user or ":" in user or not user.isprintable() or not password or "\0" in password:
        raise Invalid("a user has a name without a colon, and a password")
    gensalt = getattr(_libcrypt(), "crypt_gensalt", None)
    if gensalt is None:
        raise Unsupported("this machine's libcrypt cannot make bcrypt hashes; use `htpasswd -B`")
    gensalt.argtypes = (ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p, ctypes.c_int)
    gensalt.restype = ctypes.c_char_p
    setting = gensalt(_BCRYPT, _COST, None, 0)
    return f"{user}:{Passwords({}).hash(password, setting.decode())}"


def _parse(path: Path) -> dict[str, str]:
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"cannot read the password file {path}: {error}") from None
    users = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("#"):
            continue
        name, colon, hashed = line.strip().partition(":")
        if not (name and colon and hashed.startswith("$")):
            raise Invalid(f"{path}, line {number}: not a name and a hash of crypt(5); use `htpasswd -B`")
        users[name] = hashed
    return users


def _state(path: Path | None) -> tuple[int, int, int]:
    """What tells one version of the file from the next."""
    try:
        status = os.stat(path) if path else None
    except OSError:
        status = None
    return (status.st_ino, status.st_size, status.st_mtime_ns) if status else (0, 0, 0)


def _libcrypt() -> ctypes.CDLL:
    # By its names first: `find_library` asks ldconfig or a compiler, which a small image has not.
    for name in (*_LIBCRYPT, ctypes.util.find_library("crypt")):
        try:
            return ctypes.CDLL(name or "")
        except OSError:
            continue
    raise Unsupported("passwords need the C library's libcrypt, which this machine lacks")

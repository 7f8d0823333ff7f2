"""Passwords: an htpasswd file, ``name:hash`` a line, and the C library's crypt to compare with.

libcrypt knows bcrypt (``htpasswd -B``), SHA-512, yescrypt and the others of crypt(5). It is the one C
library that the registry calls: bcrypt in Python would be a thousand times slower than an attacker's.

Source: crypt(3), crypt(5); htpasswd(1).
"""

from __future__ import annotations

import ctypes
import ctypes.util
import hmac
import threading
from pathlib import Path

from mini_docker.errors import Invalid, Unsupported

_UNUSABLE = "$2b$10$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"  # the cost of a check for unknown names


class Passwords:
    """The users of a registry.

    *Guarded by the lock*: crypt's one static buffer.

    Args:
        users: hashes by name.

    Raises:
        Unsupported: this machine has no libcrypt.
    """

    def __init__(self, users: dict[str, str]) -> None:
        self._users = users
        self._lock = threading.Lock()
        name = ctypes.util.find_library("crypt")
        if name is None:
            raise Unsupported("passwords need the C library's libcrypt, which this machine lacks")
        self._crypt = ctypes.CDLL(name).crypt
        self._crypt.argtypes = (ctypes.c_char_p, ctypes.c_char_p)
        self._crypt.restype = ctypes.c_char_p

    @classmethod
    def read(cls, path: Path) -> Passwords:
        """Read an htpasswd file.

        Raises:
            Invalid: it is missing, or a line is no ``name:hash``.
        """
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
        return cls(users)

    def verify(self, user: str, password: str) -> bool:
        """Whether the password is the user's. An unknown user takes as long as a known one."""
        if "\0" in password:
            return False
        hashed = self._users.get(user, _UNUSABLE)
        # htpasswd writes bcrypt as $2y$, which is what crypt(5) calls $2b$.
        setting = hashed.replace("$2y$", "$2b$", 1)
        matches = hmac.compare_digest(self.hash(password, setting), setting)
        return matches and user in self._users

    def hash(self, password: str, setting: str) -> str:
        """crypt(3) of a password."""
        with self._lock:
            found: bytes | None = self._crypt(password.encode(), setting.encode())
        return (found or b"*").decode("ascii", "replace")

"""Digests: content named by its own fingerprint, so that a name cannot lie about what it names.

Knows one algorithm, SHA-256, and nothing of what is fingerprinted.

Source: OCI image specification 1.1, descriptor.md, "Digests".
"""

from __future__ import annotations

import hashlib
import re

from mini_docker.errors import Invalid

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def digest_of(data: bytes) -> str:
    """The digest of *data*: ``sha256:`` and 64 hexadecimal digits."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def checked_digest(text: object, what: str) -> str:
    """*text* itself, when it is a digest.

    Args:
        what: what the digest is of, for the error.

    Raises:
        Invalid: it is none. As digests become file names, this is also the wall against ``..``.
    """
    if not isinstance(text, str) or not _DIGEST.fullmatch(text):
        raise Invalid(f"bad digest of {what}: {text!r} is not 'sha256:' and 64 hexadecimal digits")
    return text


def hex_of(digest: str) -> str:
    """The digits alone: a digest's file name."""
    return digest.removeprefix("sha256:")


def expect_digest(what: str, expected: str | None, found: str) -> None:
    """Let pass only what is expected; None expects nothing.

    Raises:
        Invalid: *found* is another.
    """
    if expected is not None and expected != found:
        raise Invalid(f"the {what} is not what it should be: its digest is {found}, expected {expected}")

"""Digest: the name of content that is made from the content itself, so that nobody can lie about it.

A digest is text, ``sha256:9f86d08…``; whoever fetches a blob by it hashes what arrives and compares.
It knows nothing of registries, manifests or files.

Source: OCI image specification, "Digests"; go-digest's rules of validity.
"""

from __future__ import annotations

import hashlib
import re

from mini_docker.errors import Invalid

HEX_LENGTHS = {"sha256": 64, "sha384": 96, "sha512": 128}
_GRAMMAR = re.compile(r"[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[a-zA-Z0-9=_-]+")


class DigestMismatch(Invalid):
    """Content arrived that is not what its digest names: damaged on the way, or forged. A new fetch may succeed."""


def check_digest(digest: str) -> None:
    """Accept *digest* or say what is wrong with it, in go-digest's words.

    Raises:
        Invalid: bad form, an algorithm we do not compute, or hex of the wrong length.
    """
    if not _GRAMMAR.fullmatch(digest):
        raise Invalid("invalid checksum digest format")
    algorithm, _, encoded = digest.partition(":")
    if algorithm not in HEX_LENGTHS:
        raise Invalid("unsupported digest algorithm")
    if len(encoded) != HEX_LENGTHS[algorithm]:
        raise Invalid("invalid checksum digest length")
    if not re.fullmatch(r"[a-f0-9]+", encoded):
        raise Invalid("invalid checksum digest format")


def digest_of(data: bytes) -> str:
    """The sha256 digest of *data*."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def short_id(digest: str) -> str:
    """The twelve hex digits by which progress lines call a layer."""
    return digest.partition(":")[2][:12]


class Verifier:
    """Hashes content as it passes and compares in the end.

    Args:
        digest: what the content claims to be.

    Raises:
        Invalid: *digest* is not a valid one.
    """

    def __init__(self, digest: str) -> None:
        check_digest(digest)
        self._digest = digest
        self._hash = hashlib.new(digest.partition(":")[0])

    def update(self, data: bytes) -> None:
        """Take the next piece of the content."""
        self._hash.update(data)

    @property
    def verified(self) -> bool:
        """Whether all that passed so far is the content that the digest names."""
        return self._hash.hexdigest() == self._digest.partition(":")[2]


def verify(data: bytes, digest: str, what: str) -> None:
    """Compare content that is in memory with its digest.

    Args:
        what: how to call it in the error: ``manifest``.

    Raises:
        DigestMismatch: it is other content.
    """
    verifier = Verifier(digest)
    verifier.update(data)
    if not verifier.verified:
        raise DigestMismatch(f"{what} verification failed for digest {digest}")

"""Image names as typed, taken apart just enough for a request; what they mean, the daemon decides."""

from __future__ import annotations

OFFICIAL_REGISTRY = "https://index.docker.io/v1/"
"""The name under which Docker keeps the log-in of its own registry."""


def split(name: str) -> tuple[str, str]:
    """``host:5000/a/b:tag`` as (name, tag) and ``a@sha256:…`` as (name, digest); the second may be empty."""
    if "@" in name:
        front, _, digest = name.partition("@")
        return front, digest
    front, colon, tag = name.rpartition(":")
    # A colon before a slash belongs to the registry's port.
    return (front, tag) if colon and "/" not in tag else (name, "")


def registry_of(name: str) -> str:
    """The registry whose log-in goes with the image *name*."""
    host, _ = _split_host(name)
    return OFFICIAL_REGISTRY if host in ("", "docker.io", "index.docker.io") else host


def whole(name: str, tag: str) -> str:
    """*name* with *tag* (or digest, or neither) as machines write it: ``docker.io/library/busybox:latest``."""
    host, path = _split_host(name)
    if not host:
        name = f"docker.io/{name}" if "/" in name else f"docker.io/library/{name}"
    elif host == "index.docker.io":
        name = f"docker.io/{path}"
    return name + (f"@{tag}" if ":" in tag else f":{tag}" if tag else "")


def _split_host(name: str) -> tuple[str, str]:
    """The registry that *name* begins with, and the rest; none is said by a first word that cannot be a host."""
    first, slash, rest = name.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return first, rest
    return "", name

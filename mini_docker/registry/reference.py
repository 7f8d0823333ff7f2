"""A Reference is an image's postal address: which registry, which repository there, which tag or digest in it.

People write it short (``busybox``), machines whole (``docker.io/library/busybox:latest``); this
module goes both ways. It is pure: it knows no registry, and not whether the image exists.

Grammar (distribution/reference, ``regexp.go``)::

    reference       := name [ ":" tag ] [ "@" digest ]
    name            := [ domain "/" ] path-component { "/" path-component }
    domain          := host [ ":" port-number ]
    host            := domain-component { "." domain-component } | "[" ipv6 "]"
    path-component  := alpha-numeric { separator alpha-numeric }
    separator       := "." | "_" | "__" | one or more "-"
    tag             := word character, then up to 127 of word characters, "." and "-"
"""

from __future__ import annotations

import re

from mini_docker.dataclasses import dataclass, replace
from mini_docker.errors import Invalid
from mini_docker.registry.digest import check_digest

DEFAULT_DOMAIN = "docker.io"
LEGACY_DEFAULT_DOMAIN = "index.docker.io"
OFFICIAL_PREFIX = "library/"
DEFAULT_TAG = "latest"
LONGEST_PATH = 255

_ALPHA_NUMERIC = r"[a-z0-9]+"
_SEPARATOR = r"(?:[._]|__|[-]+)"
_COMPONENT = rf"{_ALPHA_NUMERIC}(?:{_SEPARATOR}{_ALPHA_NUMERIC})*"
_PATH = rf"{_COMPONENT}(?:/{_COMPONENT})*"
_DOMAIN_COMPONENT = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_HOST = rf"(?:{_DOMAIN_COMPONENT}(?:\.{_DOMAIN_COMPONENT})*|\[[a-fA-F0-9:]+\])"
_DOMAIN = rf"{_HOST}(?::[0-9]+)?"
_TAG = r"[\w][\w.-]{0,127}"
_DIGEST = r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*[:][0-9a-fA-F]{32,}"

_REFERENCE = re.compile(
    rf"(?P<domain>{_DOMAIN})/(?P<path>{_PATH})(?::(?P<tag>{_TAG}))?(?:@(?P<digest>{_DIGEST}))?", re.ASCII
)
_TAG_ALONE = re.compile(_TAG, re.ASCII)
_IDENTIFIER = re.compile(r"[a-f0-9]{64}")


@dataclass(frozen=True, slots=True)
class Reference:
    """Where an image is. ``parse`` is the way to make one from outside; it checks, the constructor does not.

    Attributes:
        domain: the registry's host, with its port if any; ``docker.io`` for Docker Hub.
        path: the repository inside it: ``library/busybox``.
        tag: empty when none was given.
        digest: ``sha256:…`` of the manifest; empty when none was given.

    Law: ``parse(str(r)) == r`` and ``parse(r.familiar()) == r``.
    """

    domain: str
    path: str
    tag: str = ""
    digest: str = ""

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Read a reference as people write it, short or whole.

        Raises:
            Invalid: in Docker's words: ``invalid reference format…``.
        """
        if _IDENTIFIER.fullmatch(text):
            raise Invalid(f"invalid repository name ({text}), cannot specify 64-byte hexadecimal strings")
        domain, remainder = _split_domain(text)
        path = remainder.partition(":")[0]
        if path.lower() != path:
            raise Invalid(f"invalid reference format: repository name ({path}) must be lowercase")
        match = _REFERENCE.fullmatch(f"{domain}/{remainder}")
        if match is None:
            raise Invalid("invalid reference format")
        if len(match["path"]) > LONGEST_PATH:
            raise Invalid(f"repository name must not be more than {LONGEST_PATH} characters")
        if match["digest"]:
            check_digest(match["digest"])
        return cls(match["domain"], match["path"], match["tag"] or "", match["digest"] or "")

    @classmethod
    def of(cls, repository: str, tag_or_digest: str = "") -> Reference:
        """Join what the Remote API sends apart: ``fromImage`` and ``tag`` (which may hold a digest).

        Raises:
            Invalid: either part is malformed.
        """
        reference = cls.parse(repository)
        if not tag_or_digest:
            return reference
        if ":" in tag_or_digest:
            check_digest(tag_or_digest)
            return replace(reference, tag="", digest=tag_or_digest)
        return reference.with_tag(tag_or_digest)

    @property
    def name(self) -> str:
        """Domain and path, whole: ``docker.io/library/busybox``."""
        return f"{self.domain}/{self.path}"

    @property
    def repository(self) -> str:
        """Domain and path as people write them: ``busybox``, ``localhost:5000/me/app``."""
        if self.domain != DEFAULT_DOMAIN:
            return self.name
        short = self.path.removeprefix(OFFICIAL_PREFIX)
        # library/a/b has no shorter form, for "a/b" is the repository of a user "a"; nor has library/<64 hex
        # digits>, for that reads as an image's id, nor a path that reads as a domain ("localhost/x").
        if short != self.path and ("/" in short or _IDENTIFIER.fullmatch(short)):
            return self.path
        return short if _split_domain(short) == (DEFAULT_DOMAIN, self.path) else self.name

    def familiar(self) -> str:
        """The shortest form that means the same: ``busybox:latest``."""
        return self.repository + self._suffix()

    def __str__(self) -> str:
        return self.name + self._suffix()

    def _suffix(self) -> str:
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    @property
    def is_name_only(self) -> bool:
        """Whether it names a repository and nothing in it."""
        return not self.tag and not self.digest

    def with_default_tag(self) -> Reference:
        """Itself, with ``latest`` when it names neither tag nor digest."""
        return replace(self, tag=DEFAULT_TAG) if self.is_name_only else self

    def with_tag(self, tag: str) -> Reference:
        """The same repository's *tag*.

        Raises:
            Invalid: not a tag.
        """
        if not _TAG_ALONE.fullmatch(tag):
            raise Invalid("invalid tag format")
        return replace(self, tag=tag, digest="")


def _split_domain(text: str) -> tuple[str, str]:
    """The first part is a registry's host if it looks like one: a dot, a port, an upper-case letter, or localhost."""
    first, slash, rest = text.partition("/")
    looks_like_host = "." in first or ":" in first or first == "localhost" or first.lower() != first
    domain, remainder = (first, rest) if slash and looks_like_host else (DEFAULT_DOMAIN, text)
    if domain == LEGACY_DEFAULT_DOMAIN:
        domain = DEFAULT_DOMAIN
    if domain == DEFAULT_DOMAIN and "/" not in remainder:
        remainder = OFFICIAL_PREFIX + remainder
    return domain, remainder

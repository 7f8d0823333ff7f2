"""Manifests: an image's packing list, with config and layers named by digest. An index lists manifests by platform.

This module reads and writes the lists. It fetches nothing, and it does not know what a layer holds.

Sources: Image Manifest Version 2, Schema 2 (distribution's specification); OCI image specification,
"Image Manifest" and "Image Index".
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from mini_docker.dataclasses import dataclass
from mini_docker.errors import Invalid, NotFound, Unsupported
from mini_docker.media_types import (
    DOCKER_CONFIG,
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_MANIFEST,
)
from mini_docker.registry.digest import check_digest
from mini_docker.registry.platform import Platform, choose

ACCEPT = (DOCKER_MANIFEST, DOCKER_LIST, OCI_MANIFEST, OCI_INDEX)
"""What we ask a registry for. It answers schema 1 only to those who accept nothing better."""

_SCHEMA_1 = (
    "application/vnd.docker.distribution.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
)
_VAGUE = ("", "application/json", "text/plain", "application/octet-stream")
_LAYERS = ("application/vnd.docker.image.rootfs.", "application/vnd.oci.image.layer.")
LARGEST_MANIFEST = 4 * 1024 * 1024
"""Bytes. Source: distribution-spec, "Pushing Manifests": registries accept at least 4 MiB and may refuse more."""


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A pointer to content: what it is, how long, and its digest.

    Attributes:
        size: bytes.
        urls: other places to fetch it from (layers that may not be distributed).
        platform: which machine it is for; only in an index, and not always there.
    """

    media_type: str
    digest: str
    size: int
    urls: tuple[str, ...] = ()
    platform: Platform | None = None

    @classmethod
    def from_json(cls, value: object) -> Descriptor:
        """Read one.

        Raises:
            Invalid: a field is missing or malformed.
        """
        if not isinstance(value, Mapping):
            raise Invalid("invalid manifest: a descriptor is not an object")
        digest, size, urls = value.get("digest"), value.get("size"), value.get("urls") or ()
        if not isinstance(digest, str) or not isinstance(size, int) or size < 0:
            raise Invalid("invalid manifest: a descriptor lacks its digest or its size")
        check_digest(digest)
        platform = _platform(value.get("platform"))
        return cls(str(value.get("mediaType", "")), digest, size, tuple(map(str, urls)), platform)

    def to_json(self) -> dict[str, Any]:
        """The descriptor as manifests hold it."""
        return {"mediaType": self.media_type, "size": self.size, "digest": self.digest}


@dataclass(frozen=True, slots=True)
class ImageManifest:
    """One image: its config and its layers, base first."""

    media_type: str
    config: Descriptor
    layers: tuple[Descriptor, ...]

    def encode(self) -> bytes:
        """The manifest as Docker writes it, to the byte: its digest depends on every space."""
        value = {
            "schemaVersion": 2,
            "mediaType": self.media_type,
            "config": self.config.to_json(),
            "layers": [layer.to_json() for layer in self.layers],
        }
        return json.dumps(value, indent=3).encode()


@dataclass(frozen=True, slots=True)
class ImageIndex:
    """One image for many platforms: a manifest for each. Docker calls it a manifest list."""

    media_type: str
    manifests: tuple[Descriptor, ...]

    def select(self, wanted: Platform) -> Descriptor:
        """The manifest for a machine.

        Raises:
            NotFound: none fits, in Docker's words.
        """
        # Attestations ride along as manifests for the platform unknown/unknown; no machine is that.
        chosen = choose(self.manifests, lambda manifest: manifest.platform, wanted)
        if chosen is None:
            raise NotFound(f"no matching manifest for {wanted} in the manifest list entries")
        return chosen


def parse_manifest(data: bytes, content_type: str = "") -> ImageManifest | ImageIndex:
    """Read a manifest or an index.

    Args:
        content_type: what the registry called it; some say nothing useful, then the content tells.

    Raises:
        Invalid: not a manifest. Unsupported: schema 1, or something that is not a container image.
    """
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Invalid(f"invalid manifest: not JSON: {error}") from None
    if not isinstance(value, Mapping):
        raise Invalid("invalid manifest: not an object")
    media_type = _media_type(value, content_type.partition(";")[0].strip().lower())
    if media_type in _SCHEMA_1:
        raise Unsupported(
            "the registry offers this image only as a manifest of schema 1, which Docker gave up in 2019: "
            "push it again with a present-day client"
        )
    if media_type in (DOCKER_LIST, OCI_INDEX):
        return ImageIndex(media_type, tuple(map(Descriptor.from_json, _list(value, "manifests"))))
    if media_type not in (DOCKER_MANIFEST, OCI_MANIFEST):
        raise Unsupported(f"unsupported manifest media type {media_type!r}: this is not an image that Docker can pull")
    return _image(media_type, value)


def _media_type(value: Mapping[str, Any], content_type: str) -> str:
    if content_type not in _VAGUE:
        return content_type
    if isinstance(value.get("mediaType"), str):
        return str(value["mediaType"])
    if value.get("schemaVersion") == 1:
        return _SCHEMA_1[0]
    if "manifests" in value:
        return OCI_INDEX
    if "config" in value and "layers" in value:
        return OCI_MANIFEST
    raise Invalid("invalid manifest: neither its content type nor its content says what it is")


def _image(media_type: str, value: Mapping[str, Any]) -> ImageManifest:
    config = Descriptor.from_json(value.get("config"))
    if config.media_type not in (DOCKER_CONFIG, OCI_CONFIG, "application/octet-stream"):
        raise Unsupported(f"unsupported config media type {config.media_type!r}: an artifact, not a container image")
    layers = tuple(map(Descriptor.from_json, _list(value, "layers")))
    for layer in layers:
        if not layer.media_type.startswith(_LAYERS):
            raise Unsupported(f"unsupported layer media type {layer.media_type!r} of layer {layer.digest}")
    return ImageManifest(media_type, config, layers)


def _list(value: Mapping[str, Any], name: str) -> Sequence[object]:
    found = value.get(name)
    if not isinstance(found, list):
        raise Invalid(f"invalid manifest: it has no list of {name}")
    return found


def _platform(value: object) -> Platform | None:
    if not isinstance(value, Mapping) or not value.get("architecture"):
        return None
    return Platform.normal(str(value.get("os", "")), str(value["architecture"]), str(value.get("variant") or ""))

"""An image: how to run a stack of layers, and how the stack came about. It is named by its own text.

Values and their JSON form; no files, no driver. Fields that we don't know are kept as they are, so
that what another tool wrote is not lost when we write it again.

Source: OCI image specification 1.1, config.md; Docker image specification 1.2.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeVar

from mini_docker.dataclasses import dataclass, field
from mini_docker.errors import Invalid
from mini_docker.graph.digest import checked_digest, digest_of
from mini_docker.graph.layer import chain_ids

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One step in an image's making.

    Attributes:
        created: when, RFC 3339.
        created_by: the command.
        empty_layer: whether the step changed no file, so that no layer belongs to it.
        extra: fields beyond these.
    """

    created: str = ""
    created_by: str = ""
    author: str = ""
    comment: str = ""
    empty_layer: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As JSON-able data; what is empty is left out."""
        known = {
            "created": self.created, "created_by": self.created_by, "author": self.author,
            "comment": self.comment, "empty_layer": self.empty_layer,
        }  # fmt: skip
        return {name: value for name, value in known.items() if value} | dict(self.extra)

    @classmethod
    def from_json(cls, data: Any) -> HistoryEntry:
        """The inverse of `to_json`.

        Raises:
            Invalid: not an object, or a field of the wrong type.
        """
        rest = _object(data, "history entry")
        return cls(
            created=_take(rest, "created", str, ""),
            created_by=_take(rest, "created_by", str, ""),
            author=_take(rest, "author", str, ""),
            comment=_take(rest, "comment", str, ""),
            empty_layer=_take(rest, "empty_layer", bool, False),
            extra=rest,
        )


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """What an image says of itself.

    Attributes:
        architecture, os: what it runs on, in Go's words (``amd64``, ``linux``).
        created: when, RFC 3339; empty when it does not say.
        config: the run configuration in Docker's JSON form: Env, Cmd, Entrypoint, WorkingDir, User,
            ExposedPorts, Volumes, Labels, StopSignal, …
        diff_ids: its layers, bottom first.
        history: its steps, oldest first.
        extra: fields beyond these.
    """

    architecture: str
    os: str
    created: str = ""
    author: str = ""
    comment: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    diff_ids: tuple[str, ...] = ()
    history: tuple[HistoryEntry, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)

    def encode(self) -> bytes:
        """The JSON text whose digest is the image's id."""
        known: dict[str, Any] = {"architecture": self.architecture, "os": self.os}
        optional = {"created": self.created, "author": self.author, "comment": self.comment}
        known |= {name: value for name, value in optional.items() if value}
        known["config"] = dict(self.config)
        known["rootfs"] = {"type": "layers", "diff_ids": list(self.diff_ids)}
        if self.history:
            known["history"] = [entry.to_json() for entry in self.history]
        return json.dumps(known | dict(self.extra), separators=(",", ":")).encode()

    @classmethod
    def decode(cls, data: bytes) -> ImageConfig:
        """The inverse of `encode`, for any tool's text.

        Raises:
            Invalid: it is not the JSON of an image's configuration; the message names the field.
        """
        try:
            rest = _object(json.loads(data), "image configuration")
        except (ValueError, RecursionError) as error:
            raise Invalid(f"bad image configuration: not JSON: {error}") from None
        rootfs = _object(_take(rest, "rootfs", dict, {}), "rootfs")
        if rootfs.get("type", "layers") != "layers":
            raise Invalid(f"bad image configuration: unknown rootfs type {rootfs['type']!r}")
        return cls(
            architecture=_take(rest, "architecture", str, ""),
            os=_take(rest, "os", str, ""),
            created=_take(rest, "created", str, ""),
            author=_take(rest, "author", str, ""),
            comment=_take(rest, "comment", str, ""),
            config=_take(rest, "config", dict, {}),
            diff_ids=tuple(checked_digest(item, "a layer") for item in _take(rootfs, "diff_ids", list, [])),
            history=tuple(HistoryEntry.from_json(item) for item in _take(rest, "history", list, [])),
            extra=rest,
        )


@dataclass(frozen=True, slots=True)
class Image:
    """An image that the graph holds, whole.

    Attributes:
        id: ``sha256:`` and the digest of *config_bytes*.
        config_bytes: the configuration, byte for byte as it came.
        config: the same, decoded.
        layers: chain ids of its stacks, bottom first; the last is its root file system.
        parent: id of the image it was made from on this machine, by commit or build; None for others.
    """

    id: str
    config_bytes: bytes = field(compare=False, repr=False)
    config: ImageConfig = field(compare=False)
    layers: tuple[str, ...] = field(compare=False)
    parent: str | None = None

    @classmethod
    def from_config(cls, config_bytes: bytes, parent: str | None = None) -> Image:
        """The image that *config_bytes* describe.

        Raises:
            Invalid: they describe none.
        """
        config = ImageConfig.decode(config_bytes)
        return cls(digest_of(config_bytes), config_bytes, config, chain_ids(config.diff_ids), parent)

    @property
    def top(self) -> str | None:
        """Chain id of its root file system; None for an image without layers."""
        return self.layers[-1] if self.layers else None


def _object(data: Any, what: str) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise Invalid(f"bad image configuration: {what} is not an object")
    return dict(data)


def _take(rest: dict[str, Any], name: str, kind: type[T], default: T) -> T:
    """Move a field out of *rest*; null, as Go writes empty lists and maps, is the default."""
    value = rest.pop(name, None)
    if value is None:
        return default
    if not isinstance(value, kind):
        raise Invalid(f"bad image configuration: {name} is not a {kind.__name__}")
    return value

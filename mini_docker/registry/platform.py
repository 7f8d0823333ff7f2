"""Platform: the machine that an image is for, and the choice among several.

It knows words (``linux``, ``arm64``, ``v8``) and their order of preference, no registry.

Source: OCI image specification, "Image Index" (platform object); containerd's ``platforms`` for the
normal forms and for what an arm machine can run.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from typing import TypeVar

from mini_docker.architecture import go_name
from mini_docker.dataclasses import dataclass
from mini_docker.errors import Invalid

T = TypeVar("T")

_VARIANTS_OF_MACHINES = {"armhf": "v7", "armel": "v6", "armv7l": "v7", "armv6l": "v6"}


@dataclass(frozen=True, slots=True)
class Platform:
    """An operating system and a processor, in normal form.

    Attributes:
        variant: ``v7`` of arm; empty where an architecture has just one, and for arm64's only v8.
    """

    os: str
    architecture: str
    variant: str = ""

    @classmethod
    def normal(cls, os_name: str, architecture: str, variant: str = "") -> Platform:
        """Bring any spelling to the normal form."""
        machine = architecture.lower()
        name = go_name(machine)
        variant = (variant or _VARIANTS_OF_MACHINES.get(machine, "")).lower()
        variant = f"v{variant}" if variant.isdigit() else variant
        if name == "arm64" and variant == "v8":
            variant = ""
        elif name == "arm" and not variant:
            variant = "v7"
        elif name == "amd64" and variant == "v1":
            variant = ""
        return cls(os_name.lower() or "linux", name, variant)

    @classmethod
    def parse(cls, text: str) -> Platform:
        """Read ``os/architecture[/variant]``, or an architecture or system alone as ``--platform`` allows.

        Raises:
            Invalid: anything else.
        """
        parts = text.split("/")
        if not all(parts) or len(parts) > 3:
            raise Invalid(f"{text!r} is not a platform: write os/architecture or os/architecture/variant")
        if len(parts) == 1:
            return host() if parts[0] == "linux" else cls.normal("linux", parts[0])
        return cls.normal(*parts)

    @classmethod
    def of_config(cls, config: bytes) -> Platform:
        """What an image's config says it is for.

        Raises:
            Invalid: it is not JSON.
        """
        try:
            value = json.loads(config)
        except (ValueError, RecursionError) as error:
            raise Invalid(f"invalid image configuration: not JSON: {error}") from None
        if not isinstance(value, dict):
            raise Invalid("invalid image configuration: not an object")
        words = (str(value.get(name) or "") for name in ("os", "architecture", "variant"))
        return cls.normal(*words)

    def to_json(self) -> dict[str, str]:
        """The platform as the Remote API sends it."""
        found = {"architecture": self.architecture, "os": self.os, "variant": self.variant}
        return {name: word for name, word in found.items() if word}

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


def host() -> Platform:
    """The platform of this machine."""
    return Platform.normal("linux", os.uname().machine)


def runnable_on(machine: Platform) -> tuple[Platform, ...]:
    """What *machine* can run, best first: an armv7 also runs v6 and v5."""
    if machine.architecture == "arm":
        generation = int(machine.variant.removeprefix("v") or 7) if machine.variant[1:].isdigit() else 7
        return tuple(Platform(machine.os, "arm", f"v{number}") for number in range(generation, 4, -1))
    plain = Platform(machine.os, machine.architecture)
    return (machine,) if machine == plain else (machine, plain)


def choose(offers: Sequence[T], platform_of: Callable[[T], Platform | None], wanted: Platform) -> T | None:
    """The first offer that fits *wanted* best; an offer that names no platform fits only when nothing else does."""
    for platform in runnable_on(wanted):
        for offer in offers:
            if platform_of(offer) == platform:
                return offer
    return next((offer for offer in offers if platform_of(offer) is None), None)

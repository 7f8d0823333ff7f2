"""``--security-opt`` read: each word loosens or tightens one lock of the container. Pure.

Source: Docker's ``daemon/daemon_unix.go`` (parseSecurityOpt).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from mini_docker.dataclasses import dataclass, replace
from mini_docker.errors import Invalid


@dataclass(frozen=True, slots=True)
class SecurityOptions:
    """What the words add up to.

    Attributes:
        seccomp_profile: the user's own; None is the default one.
        selinux_label: the whole label, of ``label=`` words; empty for none.
    """

    no_new_privileges: bool = False
    seccomp_unconfined: bool = False
    seccomp_profile: dict[str, Any] | None = None
    apparmor_profile: str = ""
    selinux_label: str = ""

    @classmethod
    def parse(cls, words: Iterable[str]) -> SecurityOptions:
        """
        Raises:
            Invalid: an unknown word, or a profile that is not JSON.
        """
        options = cls()
        for word in words:
            options = options._with(word)
        return options

    def _with(self, word: str) -> SecurityOptions:
        if word == "no-new-privileges":
            return replace(self, no_new_privileges=True)
        # Docker split on the first ':' until 1.11 and still takes it.
        separator = "=" if "=" in word else ":"
        key, found, value = word.partition(separator)
        if not found:
            raise Invalid(f'invalid --security-opt 1: "{word}"')
        match key:
            case "no-new-privileges":
                if value not in ("true", "false"):
                    raise Invalid(f'invalid --security-opt 2: "{word}"')
                return replace(self, no_new_privileges=value == "true")
            case "seccomp":
                return self._with_seccomp(value)
            case "apparmor":
                return replace(self, apparmor_profile="" if value == "unconfined" else value)
            case "label":
                return self if value == "disable" else replace(self, selinux_label=value)
            case _:
                raise Invalid(f'invalid --security-opt 2: "{word}"')

    def _with_seccomp(self, value: str) -> SecurityOptions:
        if value == "unconfined":
            return replace(self, seccomp_unconfined=True, seccomp_profile=None)
        try:
            profile = json.loads(value)
        except ValueError as error:
            raise Invalid(f"Decoding seccomp profile failed: {error}") from None
        if not isinstance(profile, dict):
            raise Invalid("Decoding seccomp profile failed: not an object")
        return replace(self, seccomp_profile=profile, seccomp_unconfined=False)

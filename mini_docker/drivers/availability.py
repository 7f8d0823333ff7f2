"""Whether a driver can work on this machine: yes, or the reason why not. A value, no logic."""

from __future__ import annotations

from mini_docker.dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Availability:
    """The answer of a driver's ``available()``: truthy when it can work here.

    Attributes:
        reason: one sentence why it cannot; empty when it can.
    """

    reason: str = ""

    def __bool__(self) -> bool:
        return not self.reason


AVAILABLE = Availability()

"""What a bench counts in, and how an amount of it is written for a reader."""

from __future__ import annotations

from enum import Enum


class Unit(Enum):
    """The unit of a bench's samples; the values are their names in the JSON result."""

    SECONDS = "seconds"
    BYTES = "bytes"
    COUNT = "count"
    RATIO = "ratio"

    def text(self, amount: float) -> str:
        """*amount* with three significant digits."""
        match self:
            case Unit.SECONDS if abs(amount) >= 1:
                return f"{amount:.2f} s"
            case Unit.SECONDS:
                return f"{_digits(amount * 1e3)} ms"
            case Unit.BYTES:
                return f"{_digits(amount / 1e6)} MB"
            case Unit.COUNT:
                return f"{amount:g}"
            case Unit.RATIO:
                return f"{_digits(amount)}×"


def _digits(amount: float) -> str:
    return f"{amount:.0f}" if abs(amount) >= 100 else f"{amount:.1f}" if abs(amount) >= 10 else f"{amount:.2f}"

"""Sizes in ``--storage-opt``: ``10G`` as a number of bytes. It knows no option's name."""

from __future__ import annotations

from mini_docker.errors import Invalid

_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def parse_size(text: str) -> int:
    """``10G`` as bytes, with Docker's units (powers of 1024).

    Raises:
        Invalid: it is no size.
    """
    lowered = text.strip().lower().removesuffix("ib") if len(text) > 2 else text.strip().lower()
    digits = lowered.rstrip("bkmgt")
    unit = lowered[len(digits) :].removesuffix("b")
    if not digits.isdecimal() or unit not in _UNITS:
        raise Invalid(f"invalid size: {text!r} (as in 10G)")
    return int(digits) * _UNITS[unit]

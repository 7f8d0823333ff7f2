"""Sizes as users write them: ``64m``, ``10G``, ``512``. Pure.

Source: go-units' ``RAMInBytes``: a unit is 1024 of the one before.
"""

from __future__ import annotations

import re

from mini_docker.errors import Invalid

_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([kmgtp]?)(?:i?b)?\Z", re.IGNORECASE | re.ASCII)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}


def parse_size(text: str) -> int:
    """The size in bytes.

    Raises:
        Invalid: not a size.
    """
    match = _SIZE.match(text)
    if match is None:
        raise Invalid(f"invalid size: '{text}'")
    return int(float(match[1]) * 1024 ** _POWERS[match[2].lower()])

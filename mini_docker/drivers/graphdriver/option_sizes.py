"""Sizes in ``--storage-opt``: ``10G`` as a number of bytes. It knows no option's name."""

from __future__ import annotations

from mini_docker import units


def parse_size(text: str) -> int:
    """``10G`` as bytes, in Docker's units.

    Raises:
        Invalid: it is no size.
    """
    return units.parse_size(text)

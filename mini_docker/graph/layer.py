"""A layer: one stroke on the drawing board. Which stroke it is depends on what it was drawn upon.

Values and pure functions only. A layer has three names: its *diff id* (digest of its uncompressed
tar), its *blob digest* (digest of the bytes as they travelled, mostly compressed), and its *chain
id*, which names the whole stack up to and including it.

Source: OCI image specification 1.1, config.md, "Layer ChainID".
"""

from __future__ import annotations

from collections.abc import Iterable

from mini_docker.dataclasses import dataclass
from mini_docker.graph.digest import digest_of, hex_of

LAYER_PREFIX = "sha256-"
INIT_SUFFIX = "-init"
SCRATCH = "scratch"
_INIT_DIGITS = 48


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer that the graph holds, whole.

    Attributes:
        chain_id: names the stack that ends with this layer.
        diff_id: digest of its uncompressed tar.
        parent: chain id of the stack below; None for a first layer.
        size: bytes of file content that it adds.
        digest: of its blob, as it came in.
        media_type: of its blob, as its source called it; empty when it did not.
    """

    chain_id: str
    diff_id: str
    parent: str | None
    size: int
    digest: str
    media_type: str = ""


def chain_id(parent: str | None, diff_id: str) -> str:
    """The name of the stack *parent* with *diff_id* on top."""
    return diff_id if parent is None else digest_of(f"{parent} {diff_id}".encode())


def chain_ids(diff_ids: Iterable[str]) -> tuple[str, ...]:
    """The names of all stacks that *diff_ids*, bottom first, pass through."""
    chains: list[str] = []
    for diff_id in diff_ids:
        chains.append(chain_id(chains[-1] if chains else None, diff_id))
    return tuple(chains)


def driver_layer(chain: str) -> str:
    """The id by which the graph driver knows the layer: no colon, as overlay's mount options split there."""
    return LAYER_PREFIX + hex_of(chain)


def init_layer(chain: str | None) -> str:
    """The driver's id of the init layer that all containers on the stack share; None is the empty stack.

    48 of the 64 digits: the name is part of the names of containers' layers, which drivers allow 128 characters, and
    192 bits still are more than anyone can find two stacks for.
    """
    return (SCRATCH if chain is None else LAYER_PREFIX + hex_of(chain)[:_INIT_DIGITS]) + INIT_SUFFIX

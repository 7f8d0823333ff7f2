"""Commit: one more stroke. A new image from an old one, a layer of changes, and a way to run it.

`import` is the same on an empty board, and a build's metadata instructions the same without a stroke. It
knows the graph; nothing of containers, nor of where the changes come from.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, BinaryIO

from mini_docker import dataclasses
from mini_docker.architecture import host_architecture
from mini_docker.graph.digest import digest_of
from mini_docker.graph.graph import Graph
from mini_docker.graph.image import HistoryEntry, Image, ImageConfig

# A tar that holds nothing is two blocks of zeros, or a whole record of them.
_EMPTY_TARS = frozenset(digest_of(bytes(size)) for size in (1024, 10240))


def commit(
    graph: Graph,
    base: Image | None,
    changes: BinaryIO | None,
    *,
    config: Mapping[str, Any] | None = None,
    author: str = "",
    comment: str = "",
    created_by: str = "",
) -> Image:
    """Register the image that *base* becomes by *changes*.

    Args:
        base: None for an empty root file system.
        changes: a layer's tar, compressed or not; None, or an empty one, adds a step without a layer.
        config: how to run it, in Docker's JSON form; None as *base*.
        created_by: the command that made the changes, for the history.

    Raises:
        Invalid: the tar is corrupt or hostile; nothing is left of it.
        NotFound: *base* was deleted meanwhile.
    """
    before = ImageConfig(host_architecture(), "linux") if base is None else base.config
    now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    with graph.lease():
        diff_ids = before.diff_ids
        if changes is not None:
            layer = graph.add_layer(base.top if base else None, changes)
            if layer.diff_id not in _EMPTY_TARS:
                diff_ids = (*diff_ids, layer.diff_id)
        step = HistoryEntry(now, created_by, author, comment, empty_layer=diff_ids == before.diff_ids)
        after = dataclasses.replace(
            before,
            created=now,
            author=author or before.author,
            comment=comment,
            config=before.config if config is None else config,
            diff_ids=diff_ids,
            history=(*before.history, step),
        )
        return graph.register(after.encode(), parent=base.id if base else None)

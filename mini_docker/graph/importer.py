"""Import: makes an image of one layer out of a root file system's tar, as ``docker import`` does.

It knows the graph; nothing of names, nor of where the tar comes from.

Source: classic Docker's ``graph/import.go``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO

from mini_docker.graph.commit import commit
from mini_docker.graph.config_changes import apply_changes
from mini_docker.graph.graph import Graph
from mini_docker.graph.image import Image


def import_root(
    graph: Graph,
    stream: BinaryIO,
    *,
    config: Mapping[str, Any] | None = None,
    changes: Sequence[str] = (),
    message: str = "",
) -> Image:
    """Register an image whose only layer is *stream*.

    Args:
        stream: a tar, compressed or not.
        config: how to run it, in Docker's JSON form.
        changes: Dockerfile instructions applied to that (``ENV A=b``, ``CMD ["sh"]``).
        message: for the history; Docker's default is ``Imported from -``.

    Raises:
        Invalid: the tar is corrupt or hostile, or a change is no such instruction. Nothing is left of it.
    """
    run = apply_changes(config or {}, changes)  # before the long work, so that a typo is found at once
    return commit(graph, None, stream, config=run, comment=message)

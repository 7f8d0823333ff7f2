"""An Incoming layer: goods at the gate. While they are carried in, one clerk weighs the parcel, another its contents.

    stream ──▶ tap ──▶ decompress ──▶ tap ──▶ tar, for whoever unpacks it
                │                      │
              spool                fingerprint
       (blob and its digest)        (diff id)

Both clerks sit aside, in threads of their own, unless they are told to stand in the way. A layer that comes
uncompressed is its own contents: one clerk weighs it for both. It knows nothing of who unpacks the tar.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import BinaryIO, Protocol

from mini_docker.archive.compression import MAGIC_BYTES, Compression, detect, open_decompressing
from mini_docker.graph.taps import Aside, Tap


class BlobSink(Protocol):
    """What takes a layer's bytes as they come, and tells their digest."""

    def write(self, piece: bytes) -> None:
        """Take the next bytes."""

    @property
    def digest(self) -> str:
        """Of what was written so far."""


class Incoming:
    """A layer's stream in both its forms. A context manager: at the block's end all of it has been read.

    Attributes:
        tar: the uncompressed layer.

    Args:
        stream: the layer, compressed or not.
        sink: where its bytes go as they come; None when they lie somewhere already.
        aside: whether to keep books in threads of their own; else each piece waits for them.

    Raises (while reading, and at the block's end):
        Invalid: the stream is corrupt or truncated.
    """

    tar: BinaryIO

    def __init__(self, stream: BinaryIO, sink: BlobSink | None, *, aside: bool = True) -> None:
        self._stream = stream
        self._sink = sink
        self._in_threads = aside
        self._head = b""
        self._fingerprint: Callable[[], str] = lambda: ""
        self._taps: list[Tap] = []
        self._opened = ExitStack()

    def __enter__(self) -> Incoming:
        raw = self._stream
        sink = self._sink
        if sink is not None:
            raw = self._tap(raw, self._note_head, self._aside(sink.write)).stream()
        tar = self._opened.enter_context(open_decompressing(raw))  # reads the head
        if sink is not None and detect(self._head) is Compression.NONE:
            self._fingerprint = lambda: sink.digest
            self.tar = tar
            return self
        contents = hashlib.sha256()
        self._fingerprint = lambda: "sha256:" + contents.hexdigest()
        self.tar = self._tap(tar, self._aside(contents.update)).stream()
        return self

    def _note_head(self, piece: bytes) -> None:
        if len(self._head) < MAGIC_BYTES:
            self._head += piece[: MAGIC_BYTES - len(self._head)]

    def _aside(self, listener: Callable[[bytes], object]) -> Callable[[bytes], object]:
        return self._opened.enter_context(Aside(listener)) if self._in_threads else listener

    def _tap(self, source: BinaryIO, *listeners: Callable[[bytes], object]) -> Tap:
        self._taps.append(Tap(source, *listeners))
        return self._taps[-1]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._opened:
            if kind is None:
                # Padding after the tar's end is part of the diff id, what follows the compressed stream of the digest.
                for tap in reversed(self._taps):
                    tap.drain()

    @property
    def diff_id(self) -> str:
        """Digest of the tar; complete after the block."""
        return self._fingerprint()

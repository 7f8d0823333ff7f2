"""Compression: the press. Streams go through it squeezed or opened up again; what they say it does not know.

Reading takes the fastest library (gzip by ISA-L) and bounded memory: a bomb costs the time until the limit,
never the memory. Writing gzip leaves no time and no name in the header: equal content, equal bytes.

Source: RFC 1952 (gzip), RFC 8878 (zstd), the .xz file format specification, bzip2(1).
"""

from __future__ import annotations

import bz2
import io
import lzma
import zlib
from enum import Enum
from typing import BinaryIO, Protocol, cast

from isal import igzip, igzip_lib
from zlib_ng import zlib_ng

from mini_docker.errors import Invalid

MAX_CONTENT_BYTES = 1 << 40
"""What a stream may open up to, unless the caller says otherwise."""

_IsalError = cast(type[Exception], igzip_lib.IsalError)  # which the library's stubs call a number
_BUFFER_BYTES = 1 << 20
_GZIP_CONTAINER = 31
"""zlib's window bits for the largest window inside gzip's header and trailer."""
_MAX_ZSTD_WINDOW_BYTES = 1 << 27


class Compression(Enum):
    """A compression, by the name that media types have for it."""

    NONE = "none"
    GZIP = "gzip"
    ZSTD = "zstd"
    XZ = "xz"
    BZIP2 = "bzip2"


_MAGIC = {
    b"\x1f\x8b": Compression.GZIP,
    b"\x28\xb5\x2f\xfd": Compression.ZSTD,
    b"\xfd7zXZ\x00": Compression.XZ,
    b"BZh": Compression.BZIP2,
}
MAGIC_BYTES = max(len(magic) for magic in _MAGIC)


def detect(head: bytes) -> Compression:
    """The compression of a stream, by its first `MAGIC_BYTES` bytes."""
    for magic, compression in _MAGIC.items():
        if head.startswith(magic):
            return compression
    return Compression.NONE


def open_decompressing(stream: BinaryIO, *, limit_bytes: int = MAX_CONTENT_BYTES) -> BinaryIO:
    """What a stream holds, opened up, whichever of the known compressions it has (or none).

    Args:
        stream: read forward only; stays the caller's to close.
        limit_bytes: the most that may come out.

    Raises (while reading):
        Invalid: the stream is corrupt, truncated, or opens up to more than the limit.
    """
    head = b""
    while len(head) < MAGIC_BYTES and (more := stream.read(MAGIC_BYTES - len(head))):
        head += more
    compression = detect(head)
    if compression is Compression.NONE:
        return cast(BinaryIO, _Plain(head, stream, limit_bytes))
    opened = _decompressor(compression, cast(BinaryIO, _Rejoined(head, stream)))
    return io.BufferedReader(_Guarded(opened, compression, limit_bytes), _BUFFER_BYTES)


def open_compressing(target: BinaryIO, compression: Compression, level: int | None = None) -> BinaryIO:
    """A file whose writes go to *target* compressed; closing it writes the end and leaves *target* open.

    Args:
        level: the compression's own number; None for what layers usually have.
    """
    return cast(BinaryIO, _Compressing(target, _compressor(compression, level)))


class _Source(Protocol):
    def read(self, size: int, /) -> bytes: ...


class _Press(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...

    def flush(self) -> bytes: ...


def _decompressor(compression: Compression, stream: BinaryIO) -> _Source:
    if compression is Compression.GZIP:
        return cast(_Source, igzip.IGzipFile(fileobj=stream, mode="rb"))  # type: ignore[no-untyped-call]
    if compression is Compression.ZSTD:
        return _ZstdFrames(stream)
    if compression is Compression.XZ:
        return lzma.LZMAFile(stream)
    return bz2.BZ2File(stream)


def _compressor(compression: Compression, level: int | None) -> _Press:
    if compression is Compression.GZIP:
        press = zlib_ng.compressobj(6 if level is None else level, zlib_ng.DEFLATED, _GZIP_CONTAINER)
        return cast(_Press, press)
    if compression is Compression.ZSTD:
        import zstandard  # here and below: every idle daemon would hold 0.7 MB for it, and few layers are so packed

        return zstandard.ZstdCompressor(level=3 if level is None else level, write_checksum=True).compressobj()
    if compression is Compression.XZ:
        return lzma.LZMACompressor(preset=level)
    if compression is Compression.BZIP2:
        return bz2.BZ2Compressor(9 if level is None else level)
    return _NoPress()


class _NoPress:
    def compress(self, data: bytes, /) -> bytes:
        return data

    def flush(self) -> bytes:
        return b""


class _Rejoined(io.RawIOBase):
    """A stream whose head was read already, whole again."""

    def __init__(self, head: bytes, stream: BinaryIO) -> None:
        self._head = head
        self._stream = stream

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if size < 0:
            return self.readall() or b""
        if self._head:
            piece, self._head = self._head[:size], self._head[size:]
            return piece
        return self._stream.read(size)

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        piece = self.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)


class _Plain(_Rejoined):
    """A stream that needs no opening: what it gives is handed on uncopied."""

    def __init__(self, head: bytes, stream: BinaryIO, limit_bytes: int) -> None:
        super().__init__(head, stream)
        self._limit_bytes = limit_bytes
        self._left = limit_bytes

    def read(self, size: int = -1) -> bytes:
        if size < 0:
            return self.readall() or b""
        has_head = bool(self._head)
        piece = super().read(size)
        if has_head and len(piece) < size:
            piece += super().read(size - len(piece))
        self._left -= len(piece)
        if self._left < 0:
            raise Invalid(f"the stream is longer than {self._limit_bytes} bytes")
        return piece


class _ZstdFrames:
    """Zstandard frames, one behind the other, opened up.

    The library's own reader takes a stream that breaks off for one that ended. Here input is fed in small pieces: a
    block of 4 bytes may stand for 128 KiB, so that a piece opens up to 16 MiB at the very most.
    """

    _PIECE_BYTES = 512

    def __init__(self, stream: BinaryIO) -> None:
        import zstandard

        self._stream = stream
        self._error = zstandard.ZstdError
        self._library = zstandard.ZstdDecompressor(max_window_size=_MAX_ZSTD_WINDOW_BYTES)
        self._frame = self._library.decompressobj()
        self._between_frames = False
        self._input = b""
        self._output = memoryview(b"")

    def read(self, size: int, /) -> bytes:
        while not self._output:
            if not self._input:
                self._input = self._stream.read(self._PIECE_BYTES)
                if not self._input:
                    if not self._between_frames:
                        raise EOFError("it ends in the middle of a frame")
                    return b""
            if self._between_frames:
                self._frame = self._library.decompressobj()
                self._between_frames = False
            try:
                self._output = memoryview(self._frame.decompress(self._input))
            except self._error as error:
                raise EOFError(str(error)) from error
            self._input = b""
            if self._frame.eof:
                self._between_frames = True
                self._input = self._frame.unused_data
        piece, self._output = self._output[:size], self._output[size:]
        return bytes(piece)


class _Guarded(io.RawIOBase):
    """Counts what comes out, and names what is wrong with it."""

    def __init__(self, source: _Source, compression: Compression, limit_bytes: int) -> None:
        self._source = source
        self._compression = compression
        self._limit_bytes = limit_bytes
        self._left = limit_bytes

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        try:
            data = self._source.read(len(buffer))
        except (EOFError, zlib.error, lzma.LZMAError, _IsalError) as error:
            raise Invalid(f"the {self._compression.value} stream is corrupt or truncated: {error}") from error
        except OSError as error:
            if error.errno is not None:
                raise  # the stream itself failed, not what is in it (gzip and bz2 raise bare OSErrors for that)
            raise Invalid(f"the {self._compression.value} stream is corrupt: {error}") from error
        self._left -= len(data)
        if self._left < 0:
            raise Invalid(f"the {self._compression.value} stream opens up to more than {self._limit_bytes} bytes")
        buffer[: len(data)] = data
        return len(data)


class _Compressing(io.RawIOBase):
    def __init__(self, target: BinaryIO, press: _Press) -> None:
        self._target = target
        self._press = press

    def writable(self) -> bool:
        return True

    def write(self, data: bytes | memoryview) -> int:  # type: ignore[override]
        self._target.write(self._press.compress(bytes(data)))
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._target.write(self._press.flush())
        super().close()

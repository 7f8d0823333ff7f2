"""Compression: what goes in comes out, damage is named, and a bomb meets a limit instead of the memory."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tracemalloc

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from mini_docker.archive.compression import MAGIC_BYTES, Compression, detect, open_compressing, open_decompressing
from mini_docker.errors import Invalid

PACKED = [compression for compression in Compression if compression is not Compression.NONE]
OTHERS = {
    Compression.GZIP: gzip.compress,
    Compression.XZ: lzma.compress,
    Compression.BZIP2: bz2.compress,
    Compression.ZSTD: zstandard.ZstdCompressor(write_checksum=True).compress,
}


def press(data: bytes, compression: Compression) -> bytes:
    target = io.BytesIO()
    with open_compressing(target, compression) as stream:
        stream.write(data)
    return target.getvalue()


@pytest.mark.parametrize("compression", Compression)
@settings(max_examples=20)
@given(data=st.lists(st.binary(max_size=3000), max_size=5).map(b"".join))
def test_what_goes_in_comes_out(compression: Compression, data: bytes) -> None:
    """Each compression is told by its first bytes alone and opens to the same bytes."""
    packed = press(data, compression)
    if compression is not Compression.NONE:
        assert detect(packed[:MAGIC_BYTES]) is compression
        assert open_decompressing(io.BytesIO(packed)).read() == data


@pytest.mark.parametrize("compression", PACKED)
def test_members_joined_are_read_as_one(compression: Compression) -> None:
    """pigz, pbzip2 and zstd -T write several members: RFC 1952 and its likes say that they are one stream."""
    packed = OTHERS[compression](b"first ") + OTHERS[compression](b"second")
    assert open_decompressing(io.BytesIO(packed)).read() == b"first second"


@pytest.mark.parametrize("compression", PACKED)
def test_truncation_is_told_from_an_end(compression: Compression) -> None:
    """A download that broke off must not pass for a smaller layer, wherever it broke."""
    packed = press(bytes(range(256)) * 40, compression)
    for length in [*range(MAGIC_BYTES, len(packed), max(1, len(packed) // 20)), len(packed) - 1]:
        with pytest.raises(Invalid, match="truncated"):
            open_decompressing(io.BytesIO(packed[:length])).read()


@pytest.mark.parametrize("compression", PACKED)
def test_damage_is_found_by_the_check_sum(compression: Compression) -> None:
    """A flipped bit in the content is an error that names the compression."""
    packed = bytearray(press(bytes(range(256)) * 40, compression))
    packed[len(packed) // 2] ^= 0x10
    with pytest.raises(Invalid, match=compression.value):
        open_decompressing(io.BytesIO(bytes(packed))).read()


@pytest.mark.parametrize("compression", PACKED)
@given(data=st.data())
@settings(max_examples=60)
def test_any_damage_is_invalid_and_nothing_else(compression: Compression, data: st.DataObject) -> None:
    """Each library has errors of its own; a caller sees one, wherever the bits flipped."""
    packed = bytearray(press(bytes(range(256)) * 8 + b"text " * 300, compression))
    for _ in range(data.draw(st.integers(1, 3))):
        packed[data.draw(st.integers(MAGIC_BYTES, len(packed) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        open_decompressing(io.BytesIO(bytes(packed)), limit_bytes=1 << 24).read()
    except Invalid as error:
        assert compression.value in str(error)


@pytest.mark.parametrize("compression", PACKED)
def test_a_bomb_meets_the_limit_in_bounded_memory(compression: Compression) -> None:
    """A few kilobytes that open up to a hundred megabytes cost no more memory than the buffers do."""
    target = io.BytesIO()
    with open_compressing(target, compression, 1) as stream:
        for _ in range(100):
            stream.write(bytes(1 << 20))
    target.seek(0)
    tracemalloc.start()
    try:
        opened = open_decompressing(target, limit_bytes=80 << 20)
        with pytest.raises(Invalid, match="opens up to more than"):
            while opened.read(1 << 20):
                pass
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < 48 << 20


def test_gzip_is_reproducible() -> None:
    """Equal content gives equal bytes at any time of day: the header has neither a time nor a name (RFC 1952)."""
    packed = press(b"content", Compression.GZIP)
    assert packed[3] == 0 and packed[4:8] == bytes(4)
    assert gzip.decompress(packed) == b"content"


def test_a_failing_stream_is_no_corrupt_archive() -> None:
    """What the network broke is not said of the image: the stream's own error comes through as it is."""

    class Failing(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def read(self, size: int = -1) -> bytes:
            raise ConnectionResetError(104, "Connection reset by peer")

    with pytest.raises(ConnectionResetError):
        open_decompressing(Failing()).read()  # type: ignore[arg-type]

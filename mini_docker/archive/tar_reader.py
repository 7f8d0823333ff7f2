"""The tar reader: a conveyor belt. Members come off a stream one by one, each with its content behind it.

It reads what the world's tars write: v7, ustar, GNU (long names, base-256 numbers, sparse) and pax
(every key that layers use, sparse 0.0, 0.1 and 1.0). It touches no file system and trusts nothing:
whoever takes a member off the belt decides whether its name is one to follow.

Source: pax(1) of POSIX.1-2008; GNU tar manual, "Basic Tar Format" and "Storing Sparse Files".
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import BinaryIO

from mini_docker.archive import member as kinds
from mini_docker.archive.member import NO_ATTRIBUTES, Member, Segment, shown
from mini_docker.archive.pax import decode_records, decode_time
from mini_docker.errors import Invalid

BLOCK_BYTES = 512
CHUNK_BYTES = 1 << 20
MAX_RECORD_BYTES = 1 << 20
"""The most that a long name or a pax header may take: they are held in memory."""

XATTR_KEY = "SCHILY.xattr."

_ZERO_BLOCK = bytes(BLOCK_BYTES)
_CHECKSUM_SPACES = b" " * 8
_ADLER_MODULUS = 65521


class TarReader:
    """An iterator of members; `content` gives the bytes of the one that came last.

    Args:
        stream: an uncompressed tar, read forward only and to its end.

    Raises (while iterating):
        Invalid: the archive is truncated or corrupt; the message names the member.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._buffer = b""
        self._at = 0
        self._content_left = 0
        self._padding = 0
        self._last_name = b""

    def __iter__(self) -> Iterator[Member]:
        defaults: dict[str, bytes] = {}
        records: list[tuple[str, bytes]] = []
        while True:
            for _ in self.content():
                pass  # what nobody wanted of the last member
            block = self._next_header()
            if block is None:
                return
            kind = block[156:157]
            size = self._number(block[124:136], "size")
            if size < 0:
                raise self._corrupt("a negative size")
            if kind in b"xgLK":
                note = self._note(size)
                if kind == b"x":
                    records += decode_records(note)
                elif kind == b"g":
                    defaults.update(decode_records(note))
                else:
                    records.append(("path" if kind == b"L" else "linkpath", note.rstrip(b"\0")))
                continue
            self._content_left = size
            self._padding = -size % BLOCK_BYTES
            if kind == b"V":
                records = []
                continue  # a volume's label is no file
            yield self._member(block, kind, size, records, defaults)
            records = []

    def content(self) -> Iterator[bytes | memoryview]:
        """What is left of the present member's stored bytes (of a sparse one: its segments' data, joined)."""
        while self._content_left:
            if self._at == len(self._buffer):
                self._refill()
            piece = memoryview(self._buffer)[self._at : self._at + self._content_left]
            self._at += len(piece)
            self._content_left -= len(piece)
            yield piece
        if self._padding:
            padding, self._padding = self._padding, 0
            self._take(padding)

    def _next_header(self) -> bytes | None:
        """The next member's block, or None at the archive's end (whose rest is drained)."""
        if self._at == len(self._buffer):
            self._buffer = self._stream.read(CHUNK_BYTES)
            self._at = 0
            if not self._buffer:
                return None  # no end mark: as other readers do, take the end of the stream for it
        block = self._take(BLOCK_BYTES)
        if block == _ZERO_BLOCK:
            while self._stream.read(CHUNK_BYTES):
                pass  # so that a digest taken upstream covers the whole stream
            return None
        self._check(block)
        return block

    def _check(self, block: bytes) -> None:
        stored = self._number(block[148:156], "checksum")
        # Adler-32's low half is one plus the sum of the bytes, modulo a prime: a sum at the speed of C.
        total = zlib.adler32(block[:148] + _CHECKSUM_SPACES + block[156:]) & 0xFFFF
        if total == (stored + 1) % _ADLER_MODULUS:
            return
        # Some old tars summed signed characters.
        signed = sum(byte - 256 if byte > 127 else byte for byte in block[:148] + block[156:]) + 8 * 32
        if signed != stored:
            raise self._corrupt("a header whose checksum is wrong")

    def _member(
        self, block: bytes, kind: bytes, size: int, records: list[tuple[str, bytes]], defaults: dict[str, bytes]
    ) -> Member:
        name = _text(block[0:100])
        magic = block[257:263]
        if magic == b"ustar\0" and block[345]:
            name = _text(block[345:500]) + b"/" + name
        mode = self._number(block[100:108], "mode") & 0o7777
        uid = self._number(block[108:116], "uid")
        gid = self._number(block[116:124], "gid")
        mtime_ns = self._number(block[136:148], "mtime") * 1_000_000_000
        link = _text(block[157:257])
        attributes = NO_ATTRIBUTES
        if records or defaults:
            notes = {**defaults, **dict(records)}
            name = notes.get("GNU.sparse.name", notes.get("path", name))
            self._last_name = name
            link = notes.get("linkpath", link)
            uid = self._decimal(notes, "uid", uid)
            gid = self._decimal(notes, "gid", gid)
            if "mtime" in notes:
                try:
                    mtime_ns = decode_time(notes["mtime"])
                except ValueError:
                    raise self._corrupt("a time that is none") from None
            if "size" in notes:
                size = self._content_left = self._decimal(notes, "size", size)
                self._padding = -size % BLOCK_BYTES
            attributes = {
                key.removeprefix(XATTR_KEY): value for key, value in notes.items() if key.startswith(XATTR_KEY)
            }
        else:
            notes = {}
        self._last_name = name
        if kind in b"\x007":  # v7's regular file, and POSIX's contiguous one
            kind = kinds.REGULAR
        if kind == kinds.REGULAR and name.endswith(b"/"):
            kind = kinds.DIRECTORY  # v7 had no flag for directories
        device = (0, 0)
        if kind in (kinds.CHARACTER_DEVICE, kinds.BLOCK_DEVICE):
            device = (self._number(block[329:337], "major"), self._number(block[337:345], "minor"))
        segments = None
        if kind == b"S":
            kind = kinds.REGULAR
            size, segments = self._gnu_sparse(block)
        elif kind == kinds.REGULAR and any(key.startswith("GNU.sparse.") for key in notes):
            size, segments = self._pax_sparse(notes, records)
        elif kind not in b"0123456":
            raise self._corrupt(f"the unknown type {kind!r}")
        elif kind != kinds.REGULAR:
            if kind == kinds.HARD_LINK:
                self._content_left = self._padding = 0  # old pax archives give the size again, without content
            size = 0
        return Member(name, kind, mode, uid, gid, size, mtime_ns, link, device, attributes, segments)

    # Sparse files: a map of the stretches that hold data, in one of four places.

    def _gnu_sparse(self, block: bytes) -> tuple[int, tuple[Segment, ...]]:
        """Old GNU form: four entries in the header, then 21 in each extension block."""
        numbers = [block[at : at + 12] for at in range(386, 482, 12)]
        extended = block[482]
        size = self._number(block[483:495], "real size")
        while extended:
            if len(numbers) * 12 > MAX_RECORD_BYTES:
                raise self._corrupt("too long a sparse map")
            more = self._take(BLOCK_BYTES)
            numbers += [more[at : at + 12] for at in range(0, 504, 12)]
            extended = more[504]
        used = [self._number(number, "sparse map") for number in numbers if number.strip(b" \0")]
        return size, self._segments(used, size)

    def _pax_sparse(self, notes: dict[str, bytes], records: list[tuple[str, bytes]]) -> tuple[int, tuple[Segment, ...]]:
        """Pax forms: 1.0 has the map before the data, 0.1 in one record, 0.0 in pairs of records."""
        size = self._decimal(notes, "GNU.sparse.realsize", self._decimal(notes, "GNU.sparse.size", 0))
        if notes.get("GNU.sparse.major") == b"1":
            numbers = self._map_before_data()
        elif "GNU.sparse.map" in notes:
            numbers = [self._decimal({"": text}, "", 0) for text in notes["GNU.sparse.map"].split(b",") if text]
        else:
            pairs = [(key, value) for key, value in records if key in ("GNU.sparse.offset", "GNU.sparse.numbytes")]
            numbers = [self._decimal({key: value}, key, 0) for key, value in pairs]
        return size, self._segments(numbers, size)

    def _map_before_data(self) -> list[int]:
        """Decimal lines: how many segments, then offset and length of each; padded to a block."""
        text = b""
        wanted = 1
        while text.count(b"\n") < wanted:
            if self._content_left < BLOCK_BYTES or len(text) > MAX_RECORD_BYTES:
                raise self._corrupt("a sparse map that does not end")
            text += self._take(BLOCK_BYTES)
            self._content_left -= BLOCK_BYTES
            first, newline, _ = text.partition(b"\n")
            if newline and wanted == 1:
                wanted = 1 + 2 * self._decimal({"": first}, "", 0)
        return [self._decimal({"": line}, "", 0) for line in text.split(b"\n")[1:wanted]]

    def _segments(self, numbers: list[int], size: int) -> tuple[Segment, ...]:
        segments = tuple(Segment(*pair) for pair in zip(numbers[::2], numbers[1::2], strict=False))
        end = 0
        for offset, length in segments:
            if offset < end or length < 0:
                raise self._corrupt("a sparse map that overlaps itself")
            end = offset + length
        if len(numbers) % 2 or end > size or sum(length for _, length in segments) != self._content_left:
            raise self._corrupt("a sparse map that does not fit its data")
        return segments

    # Fields and bytes.

    def _note(self, size: int) -> bytes:
        if size > MAX_RECORD_BYTES:
            raise self._corrupt(f"a header record of {size} bytes (at most {MAX_RECORD_BYTES} are allowed)")
        return self._take(size + -size % BLOCK_BYTES)[:size]

    def _number(self, field: bytes, what: str) -> int:
        """Octal digits, or with the first bit set GNU's base 256."""
        first = field[0]
        if first & 0x80:
            number = int.from_bytes(field, "big") & ((1 << (len(field) * 8 - 1)) - 1)
            return number - (1 << (len(field) * 8 - 1)) if first & 0x40 else number
        try:
            return int(field.rstrip(b" \0") or b"0", 8)
        except ValueError:
            raise self._corrupt(f"a {what} that is no number") from None

    def _decimal(self, notes: dict[str, bytes], key: str, default: int) -> int:
        value = notes.get(key)
        if value is None:
            return default
        if not value.isdigit() or len(value) > 20:
            raise self._corrupt(f"a {key or 'sparse map'} that is no number")
        return int(value)

    def _take(self, count: int) -> bytes:
        """Exactly the next *count* bytes."""
        end = self._at + count
        if end > len(self._buffer):
            pieces = [self._buffer[self._at :]]
            missing = end - len(self._buffer)
            while missing > 0:
                self._refill()
                pieces.append(self._buffer[:missing])
                self._at = len(pieces[-1])
                missing -= self._at
            return b"".join(pieces)
        piece = self._buffer[self._at : end]
        self._at = end
        return piece

    def _refill(self) -> None:
        self._buffer = self._stream.read(CHUNK_BYTES)
        self._at = 0
        if not self._buffer:
            after = f" in or after member {shown(self._last_name)}" if self._last_name else ""
            raise Invalid(f"the archive is truncated{after}")

    def _corrupt(self, what: str) -> Invalid:
        after = f", in or after member {shown(self._last_name)}" if self._last_name else ""
        return Invalid(f"the archive is corrupt: it has {what}{after}")


def _text(field: bytes) -> bytes:
    """The part of a fixed-width column before its first NUL."""
    return field.split(b"\0", 1)[0]

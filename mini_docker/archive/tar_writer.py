"""The tar writer's pen: a member becomes the blocks that stand before its content.

The form is ustar, the one every tar reads, with pax records where a value does not fit its column:
long or non-ASCII names, big numbers, times finer than a second, extended attributes, sparse maps.
The same member gives the same bytes, always: digests are taken of them.

It knows nothing of files; `pack` walks them.

Source: pax(1) of POSIX.1-2008, "ustar Interchange Format"; GNU tar manual, "PAX Format, Version 1.0".
"""

from __future__ import annotations

import struct
import zlib

from mini_docker.archive.member import Member
from mini_docker.archive.pax import encode_records, encode_time
from mini_docker.archive.tar_reader import BLOCK_BYTES, XATTR_KEY

END_OF_ARCHIVE = bytes(2 * BLOCK_BYTES)

_SECOND_NS = 1_000_000_000
# name, mode, uid, gid, size, mtime, checksum, typeflag, linkname, magic and version; the owner's and the group's names
# (none: numbers alone hold inside a container); devmajor and devminor, prefix
_USTAR = struct.Struct("100s8s8s8s12s12s8sc100s8s64x16s155s12x")


def padding(size: int) -> bytes:
    """The zero bytes that fill *size* bytes of content up to a whole block."""
    return bytes(-size % BLOCK_BYTES)


def encode_header(member: Member) -> bytes:
    """The blocks before *member*'s content (and, for a sparse one, the map that begins it)."""
    records: list[tuple[str, bytes]] = []
    name, link = member.name, member.link
    stored = member.size
    sparse_map = b""
    if member.segments is not None:
        sparse_map = _encode_map(member)
        stored = len(sparse_map) + sum(length for _, length in member.segments)
        records += [
            ("GNU.sparse.major", b"1"),
            ("GNU.sparse.minor", b"0"),
            ("GNU.sparse.name", name),
            ("GNU.sparse.realsize", b"%d" % member.size),
        ]
        name = b"GNUSparseFile.0/" + name.rpartition(b"/")[2][:80]
    prefix, short_name = _split(name)
    if len(short_name) > 100 or not name.isascii():
        records.append(("path", name))
        prefix, short_name = b"", _ascii(name)
    if len(link) > 100 or not link.isascii():
        records.append(("linkpath", link))
        link = _ascii(link)
    seconds, fraction = divmod(member.mtime_ns, _SECOND_NS)
    if fraction or not 0 <= seconds < 8**11:
        records.append(("mtime", encode_time(member.mtime_ns)))
    for key, value, width in (("uid", member.uid, 7), ("gid", member.gid, 7), ("size", stored, 11)):
        if value >= 8**width:
            records.append((key, b"%d" % value))
    records += [(XATTR_KEY + key, value) for key, value in sorted(member.attributes.items())]
    header = b""
    if records:
        notes = encode_records(sorted(records))
        notes_name = b"PaxHeaders.0/" + short_name.rstrip(b"/").rpartition(b"/")[2][:80]
        header = _block(Member(notes_name, b"x"), b"", notes_name, b"", len(notes)) + notes + padding(len(notes))
    return header + _block(member, prefix, short_name, link, stored) + sparse_map


def _block(member: Member, prefix: bytes, name: bytes, link: bytes, stored: int) -> bytes:
    seconds = member.mtime_ns // _SECOND_NS
    block = _USTAR.pack(
        name,
        b"%07o" % member.mode,
        b"%07o" % (member.uid if member.uid < 8**7 else 0),
        b"%07o" % (member.gid if member.gid < 8**7 else 0),
        b"%011o" % (stored if stored < 8**11 else 0),
        b"%011o" % min(max(seconds, 0), 8**11 - 1),
        b" " * 8,
        member.kind,
        link,
        b"ustar\00000",
        b"%07o\0%07o" % member.device,
        prefix,
    )
    # Adler-32's low half is one plus the sum of the bytes, modulo a prime that a block of ASCII never reaches.
    return block[:148] + b"%06o\0 " % ((zlib.adler32(block) & 0xFFFF) - 1) + block[156:]


def _split(name: bytes) -> tuple[bytes, bytes]:
    """The name as (prefix, name) of at most 155 and 100 bytes where a "/" allows; else ("", name)."""
    if len(name) <= 100:
        return b"", name
    cut = name.find(b"/", max(len(name) - 101, 1), 156)
    if cut < 0 or cut == len(name) - 1:
        return b"", name
    return name[:cut], name[cut + 1 :]


def _ascii(name: bytes) -> bytes:
    """A stand-in for readers that do not know pax."""
    return bytes(byte if byte < 128 else 0x5F for byte in name[-100:]).lstrip(b"/")


def _encode_map(member: Member) -> bytes:
    segments = member.segments or ()
    lines = [len(segments), *(number for segment in segments for number in segment)]
    text = b"".join(b"%d\n" % line for line in lines)
    return text + padding(len(text))

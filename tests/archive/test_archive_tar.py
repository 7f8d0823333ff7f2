"""Headers and streams: what the writer writes, the world's tars read; what they write, the reader reads."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mini_docker.archive import member as kinds
from mini_docker.archive.member import Member, Segment
from mini_docker.archive.pax import decode_records, decode_time, encode_records, encode_time
from mini_docker.archive.tar_reader import MAX_RECORD_BYTES, TarReader
from mini_docker.archive.tar_writer import END_OF_ARCHIVE, encode_header, padding
from mini_docker.errors import Invalid

texts = st.binary(min_size=1, max_size=300).filter(lambda text: b"\0" not in text)
file_names = texts.filter(lambda name: not name.endswith(b"/"))
members = st.builds(
    Member, file_names, st.sampled_from([kinds.SYMLINK, kinds.FIFO, kinds.REGULAR]),
    mode=st.integers(0, 0o7777), uid=st.integers(0, 2**32 - 2), gid=st.integers(0, 2**32 - 2),
    mtime_ns=st.integers(-(10**19), 10**19), link=texts,
    attributes=st.dictionaries(st.sampled_from(["user.a", "security.capability"]), st.binary(max_size=50)),
    size=st.just(0), device=st.just((0, 0)), segments=st.none(),
)  # fmt: skip


def read(data: bytes) -> list[tuple[Member, bytes]]:
    """All members of an archive with their content."""
    reader = TarReader(io.BytesIO(data))
    return [(member, b"".join(reader.content())) for member in reader]


@given(st.lists(st.tuples(st.text(st.characters(codec="utf-8", exclude_characters="="), min_size=1), st.binary())))
def test_pax_records_come_back(records: list[tuple[str, bytes]]) -> None:
    """A record's length counts its own digits; decoding is the inverse of encoding at every such edge."""
    assert decode_records(encode_records(records)) == records


@pytest.mark.parametrize("data", [b"x", b"5 a=b", b"8 path=a\n", b"0 a=b\n", b"7 a=bbb", b"6 abcd\n", b"-6 a=b\n"])
def test_malformed_pax_records_are_refused(data: bytes) -> None:
    """A record that lies about its length must not shift what is read after it."""
    with pytest.raises(Invalid):
        decode_records(data)


@given(st.integers(-(10**20), 10**20))
def test_times_come_back_to_the_nanosecond(time_ns: int) -> None:
    """Make and rsync compare times: a layer keeps all nine digits, before 1970 too."""
    assert decode_time(encode_time(time_ns)) == time_ns


@settings(max_examples=150)
@given(members, st.binary(max_size=2000))
def test_a_member_comes_back(member: Member, content: bytes) -> None:
    """Reading is the inverse of writing for every member, whatever does not fit ustar's columns."""
    if member.kind != kinds.REGULAR:
        content = b""
    member = member._replace(size=len(content), link=member.link if member.kind == kinds.SYMLINK else b"")
    data = encode_header(member) + content + padding(len(content)) + END_OF_ARCHIVE
    [(found, found_content)] = read(data)
    assert (found._replace(attributes=dict(found.attributes)), found_content) == (member, content)


@settings(max_examples=50)
@given(members, st.binary(max_size=2000))
def test_python_reads_what_we_write(member: Member, content: bytes) -> None:
    """tarfile, a reader of other authors, finds the same name, times, owners and content."""
    member = member._replace(kind=kinds.REGULAR, size=len(content), link=b"", name=member.name.strip(b"/") or b"x")
    data = encode_header(member) + content + padding(len(content)) + END_OF_ARCHIVE
    with tarfile.open(fileobj=io.BytesIO(data), errors="surrogateescape") as archive:
        [info] = archive.getmembers()
        file = archive.extractfile(info)
        assert file is not None and file.read() == content
    assert info.name.encode(errors="surrogateescape") == member.name
    assert (info.uid, info.gid, info.mode) == (member.uid, member.gid, member.mode)
    assert int(info.mtime) in (member.mtime_ns // 10**9, -(-member.mtime_ns // 10**9))


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_we_read_what_python_writes(form: int) -> None:
    """ustar's prefix, GNU's long names and numbers in base 256, pax: one member, three spellings."""
    buffer = io.BytesIO()
    name = "d" * 60 + "/" + "e" * 60 + "/" + "f" * 90
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        info = tarfile.TarInfo(name)
        info.size, info.uid, info.mtime, info.mode = 3, 70_000, 1_600_000_000, 0o4711
        archive.addfile(info, io.BytesIO(b"abc"))
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "t" * 99
        archive.addfile(link)
        if form != tarfile.USTAR_FORMAT:
            big = tarfile.TarInfo("big")
            big.uid, link.linkname = 2**31, "t" * 300
            archive.addfile(big)
            archive.addfile(link)
    found = read(buffer.getvalue())
    assert found[0] == (
        Member(name.encode(), kinds.REGULAR, 0o4711, 70_000, size=3, mtime_ns=1_600_000_000 * 10**9), b"abc",
    )  # fmt: skip
    assert found[1][0].link == b"t" * 99
    if form != tarfile.USTAR_FORMAT:
        assert found[2][0].uid == 2**31
        assert found[3][0].link == b"t" * 300


def test_a_sparse_member_comes_back() -> None:
    """GNU's sparse form 1.0: the map stands before the data, and only the data is stored."""
    segments = (Segment(0, 10), Segment(100_000, 5))
    member = Member(b"dir/sparse", kinds.REGULAR, size=200_000, segments=segments)
    data = encode_header(member) + b"0123456789abcde" + padding(15) + END_OF_ARCHIVE
    assert read(data) == [(member, b"0123456789abcde")]
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        [info] = archive.getmembers()
        file = archive.extractfile(info)
        assert file is not None
        expected = b"0123456789" + bytes(100_000 - 10) + b"abcde" + bytes(100_000 - 5)
        assert (info.name, file.read()) == ("dir/sparse", expected)


def _sparse_map(text: bytes) -> bytes:
    records = [("GNU.sparse.major", b"1"), ("GNU.sparse.minor", b"0"), ("GNU.sparse.realsize", b"100")]
    notes = encode_records(records)
    return (
        encode_header(Member(b"notes", b"x", size=len(notes))) + notes + padding(len(notes))
        + encode_header(Member(b"sparse", kinds.REGULAR, size=512 + 20)) + text.ljust(512, b"\0") + bytes(512)
    )  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [b"1\n90\n20\n", b"2\n0\n20\n10\n0\n", b"1\n0\n19\n", b"2\n0\n20\n", b"x\n", b"99999999999999999999999\n", b"1"],
    ids=["beyond the end", "overlapping", "less than stored", "too short", "no number", "too many", "no line"],
)
def test_a_sparse_map_must_fit_its_data(text: bytes) -> None:
    """The map says where bytes go: one that does not add up is corrupt, and is not guessed at."""
    with pytest.raises(Invalid):
        read(_sparse_map(text))


def _with_size(size: bytes) -> bytes:
    block = bytearray(encode_header(Member(b"file", kinds.REGULAR)))
    block[124:136] = size
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (lambda: encode_header(Member(b"half", kinds.REGULAR, size=5000)) + b"x" * 100, "truncated in or after .*half"),
        (lambda: encode_header(Member(b"half", kinds.REGULAR, size=5000))[:300], "truncated"),
        (lambda: _with_size(b"-0000000001\0"), "negative size"),
        (lambda: _with_size(b"99999999999\0"), "no number"),
        (lambda: encode_header(Member(b"odd", b"Z")), "unknown type b'Z'"),
        (lambda: encode_header(Member(b"x", b"x", size=MAX_RECORD_BYTES + 1)), "header record"),
        (lambda: encode_header(Member(b"fine", kinds.REGULAR)) + b"\1" * 512, "in or after member 'fine'"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_and_where(data: Callable[[], bytes], said: str) -> None:
    """A user with a broken image is told what broke it, and the last member that could be read."""
    with pytest.raises(Invalid, match=said):
        read(data())


def test_the_stream_is_read_to_its_end() -> None:
    """A digest that is taken upstream must cover what stands behind the archive's end as well."""
    stream = io.BytesIO(encode_header(Member(b"a", kinds.REGULAR)) + END_OF_ARCHIVE + b"rubbish" * 10_000)
    assert len(list(TarReader(stream))) == 1
    assert stream.read() == b""


@given(st.data())
@settings(max_examples=100)
def test_no_damage_is_worse_than_an_error(data: st.DataObject) -> None:
    """Whatever bytes are flipped or cut off: members, or Invalid. No other exception, and no endless loop."""
    whole = b"".join(
        (
            encode_header(Member(b"a" * 120, kinds.REGULAR, size=700, mtime_ns=5)), b"x" * 700, padding(700),
            encode_header(Member(b"s", kinds.REGULAR, size=90, segments=(Segment(3, 4),))), b"data", padding(4),
            encode_header(Member(b"l", kinds.SYMLINK, link=b"t" * 200)), END_OF_ARCHIVE,
        )
    )  # fmt: skip
    damaged = bytearray(whole[: data.draw(st.integers(0, len(whole)))])
    for _ in range(data.draw(st.integers(0, 4))):
        if damaged:
            damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = read(bytes(damaged))
    except Invalid:
        return
    assert len(found) <= 3

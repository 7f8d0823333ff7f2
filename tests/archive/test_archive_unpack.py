"""Unpacking: the tree is the archive's, to the last attribute; and no archive reaches out of it."""

from __future__ import annotations

import io
import itertools
import os
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mini_docker.archive import member as kinds
from mini_docker.archive.member import Member, Segment
from mini_docker.archive.pack import as_stream, pack
from mini_docker.archive.tar_writer import END_OF_ARCHIVE, encode_header, padding
from mini_docker.archive.unpack import UnpackLimits, clean_name, unpack
from mini_docker.archive.whiteout import OVERLAY_OPAQUE, WhiteoutForm
from mini_docker.errors import Invalid, MiniDockerError
from mini_docker.linux.linux_kernel import LinuxKernel
from tests.archive.trees import Node, build, describe, emptied, folder, trees

KERNEL = LinuxKernel()
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="gives files to other users: needs root")


def archive(*members: Member | tuple[Member, bytes]) -> io.BytesIO:
    """A tar of members, each with its content if it has one."""
    data = b""
    for entry in members:
        member, content = entry if isinstance(entry[0], Member) else (entry, b"")
        assert isinstance(member, Member) and isinstance(content, bytes)
        data += encode_header(member._replace(size=member.size or len(content))) + content + padding(len(content))
    return io.BytesIO(data + END_OF_ARCHIVE)


def file(name: bytes, content: bytes = b"evil", **more: object) -> tuple[Member, bytes]:
    return Member(name, kinds.REGULAR, **more), content  # type: ignore[arg-type]


def directory(name: bytes, mode: int = 0o755) -> Member:
    return Member(name, kinds.DIRECTORY, mode)


def symlink(name: bytes, target: bytes) -> Member:
    return Member(name, kinds.SYMLINK, 0o777, link=target)


def hard_link(name: bytes, target: bytes) -> Member:
    return Member(name, kinds.HARD_LINK, link=target)


@pytest.mark.root
@needs_root
@settings(max_examples=60, deadline=None)
@given(trees)
def test_unpacking_is_the_inverse_of_packing(tree: dict[bytes, Node]) -> None:
    """Every kind, mode, owner, time, name, target and attribute comes back; so do the times of directories."""
    with folder() as place:
        build(emptied(place / "a"), tree)
        with as_stream(pack(place / "a", KERNEL)) as stream:
            unpack(stream, emptied(place / "b"), KERNEL)
        assert describe(place / "b") == describe(place / "a")
        assert b"".join(pack(place / "a", KERNEL)) == b"".join(pack(place / "b", KERNEL))


@pytest.mark.root
@needs_root
@settings(max_examples=15, deadline=None)
@given(trees)
def test_gnu_tar_agrees(tree: dict[bytes, Node]) -> None:
    """GNU tar finds in our archives what we put there, and we find in its archives what it put there."""
    options = ["--xattrs", "--xattrs-include=*", "--numeric-owner", "--format=posix"]
    with folder() as place:
        build(emptied(place / "a"), tree)
        (place / "ours.tar").write_bytes(b"".join(pack(place / "a", KERNEL)))
        emptied(place / "b")
        subprocess.run(["tar", *options, "-C", place / "b", "-xpf", place / "ours.tar"], check=True)
        assert describe(place / "b") == describe(place / "a")
        subprocess.run(["tar", *options, "-C", place / "a", "-cf", place / "theirs.tar", "."], check=True)
        with open(place / "theirs.tar", "rb") as stream:
            unpack(stream, emptied(place / "c"), KERNEL)
        assert describe(place / "c") == describe(place / "a")


@pytest.mark.root
@needs_root
@pytest.mark.parametrize("form", ["gnu", "posix", "oldgnu"])
@pytest.mark.parametrize("version", ["0.0", "0.1", "1.0"])
def test_sparse_files_of_gnu_tar_stay_sparse(form: str, version: str) -> None:
    """A hole is neither stored nor written: a layer with a 1 GB lastlog must not take 1 GB."""
    with folder() as place:
        source = emptied(place / "a") / "lastlog"
        with open(source, "wb") as sparse:
            sparse.write(b"begin")
            sparse.seek(700 << 20)
            sparse.write(b"middle")
            sparse.truncate(1 << 30)
        options = [f"--format={form}", *([f"--sparse-version={version}"] if form == "posix" else [])]
        subprocess.run(["tar", "-S", *options, "-C", place / "a", "-cf", place / "a.tar", "."], check=True)
        with open(place / "a.tar", "rb") as stream:
            assert unpack(stream, emptied(place / "b"), KERNEL) == 1 << 30
        with as_stream(pack(place / "b", KERNEL)) as stream:
            assert unpack(stream, emptied(place / "c"), KERNEL) == 1 << 30
        for copy in ("b", "c"):
            status = (place / copy / "lastlog").stat()
            assert status.st_size == 1 << 30 and status.st_blocks * 512 < 1 << 20
            with open(place / copy / "lastlog", "rb") as sparse:
                assert sparse.read(6) == b"begin\0"
                sparse.seek(700 << 20)
                assert sparse.read(7) == b"middle\0"


@pytest.mark.root
@needs_root
def test_hard_links_are_one_file_again_and_counted_once() -> None:
    """Names of one file stay names of one file, and its bytes are counted once."""
    with folder() as place:
        first = emptied(place / "a") / "first"
        first.write_bytes(b"12345")
        os.link(first, place / "a" / "second")
        with as_stream(pack(place / "a", KERNEL)) as stream:
            assert unpack(stream, emptied(place / "b"), KERNEL) == 5
        assert os.path.samefile(place / "b" / "first", place / "b" / "second")


@pytest.mark.parametrize(
    ("name", "cleaned"),
    [
        (b"/etc/passwd", b"etc/passwd"),
        (b"./a//b/", b"a/b"),
        (b"a/../b", b"b"),
        (b"./", b""),
        (b"a..b/..c", b"a..b/..c"),
    ],
)
def test_names_are_taken_from_the_trees_root(name: bytes, cleaned: bytes) -> None:
    """An absolute name means one below the tree's root, as every tar reads it."""
    assert clean_name(name) == cleaned


# Each of these tries to write "evil" outside the tree (there is a directory "outside" beside it), or breaks a rule.
HOSTILE: dict[str, tuple[Callable[[], io.BytesIO], str]] = {
    "dot-dot": (lambda: archive(file(b"../outside/x")), "leaves"),
    "dot-dot behind a directory": (lambda: archive(directory(b"a"), file(b"a/../../outside/x")), "leaves"),
    "hard link out": (lambda: archive(hard_link(b"x", b"../outside/secret")), "leaves"),
    "hard link through a link": (lambda: archive(symlink(b"l", b"../outside"), hard_link(b"x", b"l/secret")), "x"),
    "hard link to nothing": (lambda: archive(hard_link(b"x", b"nothing")), "'x'.*no such file"),
    "hard link to a directory": (lambda: archive(directory(b"d"), hard_link(b"x", b"d")), "hard link to a directory"),
    "dangling link on the way": (lambda: archive(symlink(b"l", b"/nowhere"), file(b"l/x")), "l/x"),
    "loop of links on the way": (lambda: archive(symlink(b"l", b"m"), symlink(b"m", b"l"), file(b"l/x")), "l/x"),
    "whiteout of dot-dot": (lambda: archive(directory(b"a"), file(b"a/.wh...", b"")), "whiteout that leaves"),
    "whiteout of dot": (lambda: archive(file(b".wh..", b"")), "whiteout that leaves"),
    "whiteout of nothing": (lambda: archive(file(b"a/.wh.", b"")), "whiteout that leaves"),
    "whiteout behind dot-dot": (lambda: archive(file(b"../outside/.wh.secret", b"")), "leaves"),
    "root as a file": (lambda: archive(file(b".")), "root directory itself"),
    "overlay's device": (lambda: archive(Member(b"d", kinds.CHARACTER_DEVICE)), "deletion mark"),
    "overlay's attribute": (
        lambda: archive(file(b"f", attributes={"trusted.overlay.redirect": b"/"})), "only an overlay may set",
    ),
    "below a file": (lambda: archive(file(b"f"), file(b"f/x")), "f/x"),
    "too long a name": (lambda: archive(file(b"n" * 256)), "name too long"),
    "too deep a path": (lambda: archive(file(b"d/" * 3000 + b"x")), "name too long"),
    "NUL in a name": (lambda: archive(file(b"a" * 101 + b"\0b")), "NUL byte"),
    "impossible owner": (lambda: archive(file(b"f", uid=2**40)), "out of range"),
    "impossible time": (lambda: archive(file(b"f", mtime_ns=2**110)), "out of range"),
    "more members than allowed": (lambda: archive(*(file(b"%d" % number) for number in range(60))), "more than 50"),
    "more content than allowed": (lambda: archive(file(b"big", bytes(5000))), "limit of 4096.*big"),
    "a hole larger than allowed": (
        lambda: archive(Member(b"s", kinds.REGULAR, size=1 << 60, segments=(Segment(0, 0),))), "limit of 4096",
    ),
}  # fmt: skip


@pytest.mark.root
@needs_root
@pytest.mark.parametrize(
    ("case", "form"),
    # Where there are no whiteouts, their names are names like any other.
    [(case, form) for case in HOSTILE for form in WhiteoutForm if form.value != "literal" or "whiteout" not in case],
)
def test_a_hostile_archive_is_refused_by_name(case: str, form: WhiteoutForm) -> None:
    """The archive is Invalid, the message says which member, and what lies beside the tree is untouched."""
    data, said = HOSTILE[case]
    with folder() as place:
        (emptied(place / "outside") / "secret").write_text("secret")
        before = describe(place / "outside")
        with pytest.raises(Invalid, match=said):
            unpack(data(), emptied(place / "tree"), KERNEL, whiteouts=form, limits=UnpackLimits(4096, 50))
        assert describe(place / "outside") == before
        assert sorted(os.listdir(place)) == ["outside", "tree"]


@pytest.mark.root
@needs_root
@pytest.mark.parametrize(
    "members",
    [
        (symlink(b"l", b"/outside"), directory(b"outside"), file(b"l/secret")),
        (symlink(b"l", b"../../../../outside"), directory(b"outside"), file(b"l/secret")),
        (symlink(b"secret", b"../outside/secret"), file(b"secret")),
        (symlink(b"s", b"../outside/secret"), hard_link(b"h", b"s"), file(b"h")),
        (symlink(b"s", b"../outside"), Member(b"s", kinds.DIRECTORY, 0o700, uid=7), file(b"s/secret")),
        (symlink(b"s", b"../outside"), directory(b"outside"), file(b"s/.wh.secret", b""), file(b"s/.wh..wh..opq", b"")),
        (symlink(b"s", b"../outside/secret"), file(b".wh.s", b"")),
        (symlink(b"s", b"../outside"), Member(b"s", kinds.FIFO, 0o600, uid=7)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("form", [WhiteoutForm.DELETE, WhiteoutForm.OVERLAY])
def test_links_out_of_the_tree_lead_nowhere(members: tuple[Member, ...], form: WhiteoutForm) -> None:
    """A link on the way is resolved with the tree as ``/``; a link in a file's place is replaced, not followed."""
    with folder() as place:
        (emptied(place / "outside") / "secret").write_text("secret")
        before = describe(place / "outside")
        unpack(archive(*members), emptied(place / "tree"), KERNEL, whiteouts=form)
        assert describe(place / "outside") == before


@pytest.mark.root
@needs_root
def test_whiteouts_delete_what_lies_below_and_nothing_of_their_own_layer() -> None:
    """OCI: a whiteout hides what lower layers have; what its own layer has stays, wherever in the archive it stands."""
    below = {
        b"gone": Node("directory", children={b"deep": Node("file")}),
        b"emptied": Node("directory", children={b"old": Node("file"), b"kept": Node("file")}),
        b"merged": Node("directory", children={b"old": Node("file")}),
        b"file": Node("file"),
    }
    layer = archive(
        file(b".wh.gone", b""), file(b".wh.missing", b""),
        directory(b"emptied"), file(b"emptied/kept"), file(b"emptied/.wh..wh..opq", b""), file(b"emptied/new"),
        directory(b"merged"), file(b"merged/new"), file(b".wh.merged", b""),
        file(b"file"), file(b".wh.file", b""), file(b".wh..wh.plnk", b"aufs' own"),
    )  # fmt: skip
    with folder() as place:
        build(emptied(place / "tree"), below)
        unpack(layer, place / "tree", KERNEL)
        assert set(describe(place / "tree")) == {
            b"", b"emptied", b"emptied/kept", b"emptied/new", b"merged", b"merged/new", b"file",
        }  # fmt: skip
        assert (place / "tree" / "file").read_bytes() == b"evil"


@pytest.mark.root
@needs_root
def test_whiteouts_become_an_overlays_marks() -> None:
    """Deleted: a device 0/0. Opaque: the attribute. Deleted and made anew as a directory: the attribute as well."""
    layer = archive(
        file(b"d/.wh.gone", b""), file(b"o/.wh..wh..opq", b""),
        file(b".wh.again", b""), directory(b"again"), file(b".wh.file", b""), file(b"file"),
        file(b".wh.implied", b""), file(b"implied/x"),
    )  # fmt: skip
    implied: list[bytes] = []
    with folder() as place:
        tree = emptied(place / "upper")
        unpack(layer, tree, KERNEL, whiteouts=WhiteoutForm.OVERLAY, on_implied=implied.append)
        status = (tree / "d" / "gone").lstat()
        assert stat.S_ISCHR(status.st_mode) and status.st_rdev == 0
        for opaque in ("o", "again", "implied"):
            assert os.getxattr(tree / opaque, OVERLAY_OPAQUE) == b"y"
        assert OVERLAY_OPAQUE not in os.listxattr(tree / "d")
        assert (tree / "file").is_file()
    assert implied == [b"d", b"o", b""]


@pytest.mark.root
@needs_root
def test_literal_archives_have_no_whiteouts() -> None:
    """What `cp` and ADD unpack is no layer: a file may have that name."""
    with folder() as place:
        unpack(archive(file(b".wh.x")), place, KERNEL, whiteouts=WhiteoutForm.LITERAL)
        assert os.listdir(place) == [".wh.x"]


@pytest.mark.root
@needs_root
def test_members_replace_what_stands_in_their_place() -> None:
    """Any kind over any kind: the later one is what is there; only a directory over a directory keeps what is in it."""
    make: dict[str, Member | tuple[Member, bytes]] = {
        "file": file(b"x", b"new"), "directory": directory(b"x"), "symlink": symlink(b"x", b"t"),
        "fifo": Member(b"x", kinds.FIFO), "link": hard_link(b"x", b"other"),
    }  # fmt: skip
    for (first, before), (second, after) in itertools.product(make.items(), make.items()):
        with folder() as place, folder() as alone:
            unpack(archive(file(b"other"), before), place, KERNEL)
            if first == "directory":
                (place / "x" / "inside").touch()
            unpack(archive(after), place, KERNEL)
            unpack(archive(file(b"other"), after), alone, KERNEL)
            assert stat.S_IFMT((place / "x").lstat().st_mode) == stat.S_IFMT((alone / "x").lstat().st_mode)
            if first == "directory":
                assert (place / "x" / "inside").exists() == (second == "directory")


@pytest.mark.root
@needs_root
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_damaged_archive_does_no_harm(data: st.DataObject) -> None:
    """Cut or bit-flipped anywhere: an error that says so or a tree, and nothing beside the tree is touched."""
    whole = bytearray(
        archive(
            directory(b"d"), file(b"d/f", b"x" * 600, attributes={"user.a": b"1"}), symlink(b"l", b"../outside"),
            hard_link(b"h", b"d/f"), file(b".wh.z", b""), file(b"l/secret"),
        ).getvalue()
    )  # fmt: skip
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(whole) - 1))
        whole[at] ^= 1 << data.draw(st.integers(0, 7))
    cut = bytes(whole[: data.draw(st.integers(0, len(whole)))])
    with folder() as place:
        (emptied(place / "outside") / "secret").write_text("secret")
        before = describe(place / "outside")
        try:
            unpack(io.BytesIO(cut), emptied(place / "tree"), KERNEL)
        except MiniDockerError as error:
            assert str(error)
        assert describe(place / "outside") == before


@pytest.mark.root
@needs_root
def test_no_descriptor_is_left_open() -> None:
    """A daemon that unpacks for years, good archives and bad ones, must not run out of descriptors."""
    before = os.listdir("/proc/self/fd")
    with folder() as place:
        members = [file(b"d%d/e/f" % number) for number in range(200)]
        unpack(archive(*members), emptied(place / "a"), KERNEL)
        for case, _ in HOSTILE.values():
            with pytest.raises(Invalid):
                unpack(case(), place / "a", KERNEL, limits=UnpackLimits(4096, 50))
        for _ in zip(range(3), pack(place / "a", KERNEL), strict=False):
            pass  # a stream that is not read to its end
    assert os.listdir("/proc/self/fd") == before


def test_the_way_up_is_found_from_any_depth(tmp_path: Path) -> None:
    """A container may nest directories deeper than any path or recursion goes; taking them down must still work."""
    from mini_docker.archive import removal

    top = os.open(emptied(tmp_path / "deep"), os.O_RDONLY)
    here = os.dup(top)
    for _ in range(3000):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    os.close(top)
    removal.remove(tmp_path / "deep")
    assert os.listdir(tmp_path) == []

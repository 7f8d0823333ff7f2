"""Changes: what differs between two trees, found by comparing them, and enough to make one of the other."""

from __future__ import annotations

import errno
import io
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings

from mini_docker.archive.change import Change, ChangeKind
from mini_docker.archive.changes import compare_trees, content_bytes
from mini_docker.archive.member import Member
from mini_docker.archive.overlay_changes import read_upper
from mini_docker.archive.pack import as_stream, pack, pack_changes
from mini_docker.archive.tar_reader import TarReader
from mini_docker.archive.unpack import unpack
from mini_docker.errors import Invalid
from mini_docker.linux.linux_kernel import LinuxKernel
from tests.archive.trees import Node, build, describe, emptied, folder, trees

KERNEL = LinuxKernel()
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="gives files to other users: needs root")
A, M, D = ChangeKind.ADDED, ChangeKind.MODIFIED, ChangeKind.DELETED


def read(data: bytes) -> list[tuple[Member, bytes]]:
    reader = TarReader(io.BytesIO(data))
    return [(member, b"".join(reader.content())) for member in reader]


def copied(source: Path, target: Path) -> Path:
    with as_stream(pack(source, KERNEL)) as stream:
        unpack(stream, emptied(target), KERNEL)
    return target


@pytest.mark.root
@needs_root
@settings(max_examples=60, deadline=None)
@given(trees, trees)
def test_a_layer_makes_the_new_tree_of_the_old(old: dict[bytes, Node], new: dict[bytes, Node]) -> None:
    """diff, then apply: for any two trees the changes, packed and unpacked over the old one, give the new one."""
    with folder() as place:
        build(emptied(place / "old"), old)
        build(emptied(place / "new"), new)
        changes = compare_trees(place / "old", place / "new", KERNEL)
        with as_stream(pack_changes(place / "new", changes, KERNEL)) as stream:
            added_bytes = unpack(stream, place / "old", KERNEL)
        assert describe(place / "old") == describe(place / "new")
        assert added_bytes == content_bytes(place / "new", changes, KERNEL)
        assert compare_trees(place / "old", place / "new", KERNEL) == []


@pytest.mark.root
@needs_root
@settings(max_examples=20, deadline=None)
@given(trees)
def test_a_copy_has_no_changes(tree: dict[bytes, Node]) -> None:
    """What travelled through an archive cannot be told from what it was."""
    with folder() as place:
        build(emptied(place / "old"), tree)
        assert compare_trees(place / "old", copied(place / "old", place / "new"), KERNEL) == []


def test_every_kind_of_change_is_named(tmp_path: Path) -> None:
    """The list that `docker diff` prints: sorted, with all that a new directory holds, and of a lost one its name."""
    old = emptied(tmp_path / "old")
    for directory in ("kept", "lost/inside", "touched/deep"):
        (old / directory).mkdir(parents=True)
    for file in ("kept/same", "lost/file", "touched/deep/file", "becomes-directory", "content"):
        (old / file).write_text("old")
    new = tmp_path / "new"
    shutil.copytree(old, new, symlinks=True)
    shutil.rmtree(new / "lost")
    (new / "touched/deep/file").write_text("longer than before")
    (new / "becomes-directory").unlink()
    (new / "becomes-directory" / "inside").mkdir(parents=True)
    (new / "added").write_text("")
    os.chmod(new / "content", 0o600)
    for directory in ("kept", "touched/deep", "touched"):
        shutil.copystat(old / directory, new / directory)
    assert compare_trees(old, new, KERNEL) == [
        Change("/added", A),
        Change("/becomes-directory", M),
        Change("/becomes-directory/inside", A),
        Change("/content", M),
        Change("/lost", D),
        Change("/touched", M),
        Change("/touched/deep", M),
        Change("/touched/deep/file", M),
    ]


def test_against_nothing_all_is_added(tmp_path: Path) -> None:
    """A base layer has no parent: its changes are all its files, and its root if that is a special one."""
    tree = emptied(tmp_path / "tree")
    (tree / "file").touch()
    assert compare_trees(None, tree, KERNEL) == [Change("/file", A)]
    tree.chmod(0o700)
    assert compare_trees(None, tree, KERNEL) == [Change("/", M), Change("/file", A)]


def test_names_that_are_no_text_are_kept(tmp_path: Path) -> None:
    """File names are bytes: the answer holds each, by surrogateescape."""
    os.mkdir(tmp_path / "tree")
    Path(os.fsdecode(os.fsencode(tmp_path / "tree") + b"/\xff")).touch()
    assert compare_trees(None, tmp_path / "tree", KERNEL)[-1] == Change("/\udcff", A)


def test_a_file_that_looks_like_a_whiteout_is_refused(tmp_path: Path) -> None:
    """Packed, it would delete its neighbour when the layer is applied: better an error that names it."""
    (tmp_path / ".wh.passwd").touch()
    with pytest.raises(Invalid, match=r"passwd.*deletion mark"):
        list(pack_changes(tmp_path, compare_trees(None, tmp_path, KERNEL), KERNEL))


def test_packing_does_not_follow_a_directory_that_became_a_link(tmp_path: Path) -> None:
    """A running container may swap a directory for a link to / between two looks: it must not get our files."""
    outside = emptied(tmp_path / "outside")
    (outside / "secret").write_text("secret")
    tree = emptied(tmp_path / "tree")
    (tree / "d").symlink_to("../outside")
    data = b"".join(pack_changes(tree, [Change("/d/secret", A)], KERNEL))
    assert b"secret" not in data


def test_a_file_that_shrinks_keeps_its_header_true(tmp_path: Path) -> None:
    """The size was said before the content was read: zero bytes fill up what a log rotation took away."""
    size = 3 << 20
    log = tmp_path / "log"
    log.write_bytes(b"x" * size)
    chunks = pack(tmp_path, KERNEL)
    data = next(chunks) + next(chunks)
    os.truncate(log, 10)
    [(_, _), (member, content)] = read(data + b"".join(chunks))
    assert (member.name, member.size, len(content)) == (b"log", size, size)


@pytest.mark.parametrize("code", [errno.ENODATA, errno.ENOTSUP, errno.EIO])
def test_only_an_absent_mark_is_no_mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """A disk that fails while the opaque mark is read must not make a layer that lacks deletions."""

    def getxattr(directory: int, name: str) -> bytes:
        raise OSError(code, os.strerror(code))

    upper, lower = tmp_path / "upper", tmp_path / "lower"
    upper.mkdir()
    lower.mkdir()
    (lower / "old").touch()
    monkeypatch.setattr(os, "getxattr", getxattr)
    if code == errno.EIO:
        with pytest.raises(OSError, match=os.strerror(errno.EIO)):
            read_upper(upper, lower, KERNEL)
    else:
        assert not any(change.path == b"/old" for change in read_upper(upper, lower, KERNEL))

"""Owners in archives between two worlds of ids: out of a tree and into another one, nothing changes for containers."""

from __future__ import annotations

import os
import struct
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mini_docker.archive import member as kinds
from mini_docker.archive.member import Member
from mini_docker.archive.ownership import to_container, to_host
from mini_docker.archive.pack import as_stream, pack
from mini_docker.archive.unpack import unpack
from mini_docker.errors import Invalid
from mini_docker.linux.id_mapping import NO_MAPPING, IdMap, IdMapping
from mini_docker.linux.linux_kernel import LinuxKernel

IDS = IdMapping((IdMap(0, 100_000, 1000), IdMap(1000, 300_000, 1000)), (IdMap(0, 200_000, 2000),))
CAPABILITY = "security.capability"
NET_RAW = struct.pack("<5I", 0x02000001, 1 << 13, 0, 0, 0)

owners = st.integers(0, 1999)
values = st.binary(max_size=30) | st.builds(
    lambda flags, words: struct.pack("<5I", 0x02000000 | flags, *words),
    st.integers(0, 1), st.lists(st.integers(0, 2**32 - 1), min_size=4, max_size=4),
)  # fmt: skip


@given(owners, owners, st.dictionaries(st.sampled_from([CAPABILITY, "user.x"]), values))
def test_what_comes_in_goes_out_the_same(uid: int, gid: int, attributes: dict[str, bytes]) -> None:
    """Owners and file capabilities: an image that was unpacked and packed again is the same image."""
    value = attributes.get(CAPABILITY, b"")
    if len(value) == 24 or (len(value) == 20 and value[3] != 2):
        attributes.pop(CAPABILITY)  # no revision 2: not the form that travels
    member = Member(b"x", kinds.REGULAR, uid=uid, gid=gid, attributes=attributes)
    assert to_container(to_host(member, IDS), IDS) == member
    assert to_host(member, NO_MAPPING) is member is to_container(member, NO_MAPPING)


def test_a_capable_file_names_whose_root_it_empowers() -> None:
    """Else a ping with CAP_NET_RAW would be powerless in every container: the host's root is not theirs."""
    shifted = to_host(Member(b"ping", kinds.REGULAR, attributes={CAPABILITY: NET_RAW}), IDS)
    assert struct.unpack("<6I", shifted.attributes[CAPABILITY]) == (0x03000001, 1 << 13, 0, 0, 0, 100_000)


@pytest.mark.root
def test_a_tree_lies_shifted_and_travels_as_it_was(tmp_path: Path) -> None:
    """Files, folders, links, fifos, a folder that no member names: all belong to the container's users on the disk."""
    kernel = LinuxKernel()
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "bin").mkdir(parents=True)
    (source / "bin/ping").write_bytes(b"x")
    os.chown(source / "bin/ping", 7, 8)
    os.setxattr(source / "bin/ping", CAPABILITY, NET_RAW)
    (source / "link").symlink_to("bin")
    os.chown(source / "link", 1500, 5, follow_symlinks=False)
    os.mkfifo(source / "fifo")
    target.mkdir()
    whole = b"".join(pack(source, kernel))
    with as_stream(iter([whole])) as stream:
        unpack(stream, target, kernel, ids=IDS)
    owners_on_disk = {
        path.name: (path.lstat().st_uid, path.lstat().st_gid) for path in (target, *sorted(target.rglob("*")))
    }
    assert owners_on_disk == {
        "target": (100_000, 200_000), "bin": (100_000, 200_000), "ping": (100_007, 200_008),
        "link": (300_500, 200_005), "fifo": (100_000, 200_000),
    }  # fmt: skip
    assert b"".join(pack(target, kernel, IDS)) == whole


@pytest.mark.root
def test_implied_folders_are_the_containers_roots(tmp_path: Path) -> None:
    """A folder that the archive only implies is nobody's in it, and must not be the host root's on the disk."""
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "deep").mkdir(parents=True)
    (source / "deep/file").touch()
    target.mkdir()
    archive = tmp_path / "archive.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(source / "deep/file", "deep/file")
    with archive.open("rb") as stream:
        unpack(stream, target, LinuxKernel(), ids=IDS)
    assert ((target / "deep").stat().st_uid, (target / "deep").stat().st_gid) == (100_000, 200_000)


def test_an_owner_without_a_place_is_refused(tmp_path: Path) -> None:
    """Rather than given to somebody else."""
    with pytest.raises(Invalid, match="group 2000"):
        to_host(Member(b"x", kinds.REGULAR, gid=2000), IDS)

"""Wishes for propagation that the host's mounts cannot grant are refused, and all others are not."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mini_docker.daemon.container.mount_point import MountPoint
from mini_docker.daemon.container.propagation import MountEntry, check_propagation, mount_of, parse_mountinfo
from mini_docker.errors import Invalid

MOUNTINFO = r"""
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
23 22 0:20 / /shared rw shared:7 - tmpfs none rw
24 22 0:21 / /slave rw master:7 - tmpfs none rw
25 22 0:22 / /both rw shared:9 master:7 propagate_from:2 - tmpfs none rw
26 22 0:23 / /with\040space rw shared:3 - tmpfs none rw
27 23 0:24 / /shared rw - tmpfs over rw
"""


def test_a_machines_own_mounts_are_read() -> None:
    """Whatever this machine has mounted."""
    mounts = parse_mountinfo(Path("/proc/self/mountinfo").read_text())
    assert mount_of("/proc/self/mountinfo", mounts).path.startswith("/proc")


def test_the_tags_tell() -> None:
    """Between the mount's options and the dash; spaces in paths are written in octal."""
    mounts = {mount.path: mount for mount in parse_mountinfo(MOUNTINFO.strip())}
    assert mounts["/slave"] == MountEntry("/slave", shared=False, slave=True)
    assert mounts["/both"] == MountEntry("/both", shared=True, slave=True)
    assert mounts["/with space"].shared


def test_the_mount_on_top_counts() -> None:
    """One mounted over another hides it; a folder's name that only begins alike is another folder."""
    mounts = parse_mountinfo(MOUNTINFO.strip())
    assert not mount_of("/shared/x", mounts).shared
    assert mount_of("/sharedness", mounts).path == "/"
    assert mount_of("/", mounts).path == "/"


@given(
    st.booleans(), st.booleans(), st.sampled_from(["", "private", "rprivate", "slave", "rslave", "shared", "rshared"])
)
def test_what_can_be_is_granted(shared: bool, slave: bool, wish: str) -> None:
    """A slave needs a mount that shares or is a slave; a sharer one that shares; the rest needs nothing."""
    point = MountPoint("bind", "/c", source="/h", propagation=wish)
    possible = shared or ("shared" not in wish and (slave or "slave" not in wish))
    try:
        check_propagation(point, "/h", [MountEntry("/", shared, slave)])
    except Invalid as error:
        assert not possible
        assert str(error).startswith("path /h is mounted on / but it is not a shared")
    else:
        assert possible


def test_the_words_are_dockers() -> None:
    """As its users search for them."""
    point = MountPoint("bind", "/c", source="/h", propagation="rslave")
    with pytest.raises(Invalid, match="path /h is mounted on / but it is not a shared or slave mount"):
        check_propagation(point, "/h", [MountEntry("/", False, False)])

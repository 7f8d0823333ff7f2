"""The mount as data, with random names: order, spelling and what separates are checked without root."""

from __future__ import annotations

import errno
import os
import secrets
from pathlib import Path

import pytest

from mini_docker.drivers.graphdriver.background import Background
from mini_docker.drivers.graphdriver.contract import MountedRoot
from mini_docker.drivers.graphdriver.open_roots import OpenRoots
from mini_docker.drivers.graphdriver.overlay_mount import OverlayMount, clone_detached
from mini_docker.drivers.graphdriver.short_names import ShortNames
from mini_docker.errors import Conflict
from mini_docker.linux.errors import SyscallError
from mini_docker.linux.recording import RecordingKernel


def names(count: int) -> tuple[str, ...]:
    """Short names that nobody knows beforehand."""
    return tuple(secrets.token_hex(3) for _ in range(count))


def test_the_nearest_layer_stays_the_nearest() -> None:
    """The kernel looks into lower directories in the order in which they are given."""
    lowers = names(5)
    mount = OverlayMount(Path("/links"), lowers)
    assert [value for key, value in mount.by_parameters() if key == "lowerdir+"] == [
        f"/links/{name}" for name in lowers
    ]
    option = mount.by_option_string(9).split(",")[0]
    assert option == "lowerdir=" + ":".join(f"/proc/self/fd/9/{name}" for name in lowers)


def test_a_read_only_mount_has_no_upper_directory() -> None:
    """An empty upperdir is not the same as none: the kernel would refuse it."""
    mount = OverlayMount(Path("/links"), names(2))
    assert not {"upperdir", "workdir"} & dict(mount.by_parameters()).keys()
    assert "upperdir" not in mount.by_option_string(3) and "workdir" not in mount.by_option_string(3)


def test_what_lies_below_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    """The file lower has names with their folder, nearest first; a layer without the file has nothing below."""
    short_names = ShortNames(tmp_path, "diff")
    assert short_names.below(tmp_path) == ()
    written = names(4)
    (tmp_path / "lower").write_text(":".join(f"l/{name}" for name in written))
    assert short_names.below(tmp_path) == written


def test_a_clone_that_cannot_be_made_read_only_is_closed() -> None:
    """Nobody else knows of the descriptor: left open it would hold the mount for ever."""
    descriptor = os.open("/", os.O_RDONLY)
    kernel = RecordingKernel(results={"open_tree": descriptor}, failures={"mount_setattr": errno.EINVAL})
    with pytest.raises(SyscallError):
        clone_detached(kernel.door(), Path("/somewhere"), read_only=True)
    with pytest.raises(OSError):
        os.fstat(descriptor)


def test_one_mount_for_any_number_of_opens() -> None:
    """A random number of opens mounts once; as many closes are taken, and one more is refused."""
    roots, made = OpenRoots(Background("probe")), []
    layer, count = secrets.token_hex(4), secrets.randbelow(9) + 2

    def mount() -> MountedRoot:
        made.append(layer)
        return MountedRoot(path=f"/{layer}")

    assert {roots.open(layer, mount).path for _ in range(count)} == {f"/{layer}"}
    assert made == [layer]
    for _ in range(count):
        roots.close(layer)
    with pytest.raises(Conflict):
        roots.close(layer)

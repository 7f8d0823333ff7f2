"""aufs, held to the laws of all graph drivers wherever a kernel has it, and its plans and its spelling everywhere."""

from __future__ import annotations

import errno
import io
import os
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mini_docker.archive.changes import compare_trees
from mini_docker.archive.overlay_changes import read_upper
from mini_docker.archive.pack import as_stream, pack, pack_changes
from mini_docker.archive.unpack import unpack
from mini_docker.archive.whiteout import WhiteoutForm
from mini_docker.drivers.graphdriver.aufs import AufsDriver
from mini_docker.drivers.graphdriver.aufs_mount import MAX_BRANCHES, PAGE_BYTES, AufsMount, mount_and_detach
from mini_docker.drivers.graphdriver.contract import Change, ChangeKind, GraphDriverOptions, StorageOptions
from mini_docker.errors import Invalid, Unsupported
from mini_docker.linux import constants as c
from mini_docker.linux.errors import SyscallError
from mini_docker.linux.recording import RecordingKernel
from tests.archive.trees import Node, build, describe, emptied, folder, trees
from tests.drivers.graphdriver.contract_suite import KERNEL, GraphDriverLaws
from tests.drivers.graphdriver.layer_machine import MACHINE_SETTINGS, LayerMachine

HAS_AUFS = "\taufs\n" in Path("/proc/filesystems").read_text()
needs_aufs = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="mounts aufs: needs root"),
    pytest.mark.skipif(not HAS_AUFS, reason="this kernel has no aufs (/proc/filesystems does not list it)"),
]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="trees hold files of many owners: needs root")


class TestAufs(GraphDriverLaws):
    driver_class = AufsDriver
    pytestmark = needs_aufs
    deepest = MAX_BRANCHES - 1


class AufsMachine(LayerMachine):
    driver_class = AufsDriver


class TestAufsMachine(AufsMachine.TestCase):  # type: ignore[misc]
    settings = MACHINE_SETTINGS
    pytestmark = needs_aufs


# The mount, as a plan.


@given(st.integers(1, MAX_BRANCHES - 1), st.integers(1, 120), st.booleans())
def test_every_branch_is_mounted_once_and_in_order(count: int, length: int, writable: bool) -> None:
    """What does not fit the page is appended by remounts, one branch each: far beyond the famous 42."""
    lowers = tuple(f"/{number:03}".ljust(length, "x") for number in range(count))
    mount = AufsMount(lowers, "/upper" if writable else "")
    first, *appended = mount.steps()
    assert len(first.encode()) < PAGE_BYTES
    branches, _, options = first.removeprefix("br:").partition(",")
    assert options == "dio,xino=/dev/shm/aufs.xino,noplink"
    later = [step.removeprefix("append:") for step in appended]
    assert [*branches.split(":"), *later] == [
        *(["/upper=rw"] if writable else []),
        *(f"{each}=ro+wh" for each in lowers),
    ]
    if later:  # the first that was left over would not have fitted
        assert len(first.encode()) + 1 + len(later[0]) >= PAGE_BYTES


def test_paths_of_an_ordinary_length_pass_forty_two() -> None:
    """Docker's own paths (a page holds 42 of them): the rest is appended."""
    lowers = tuple(f"/var/lib/docker/aufs/diff/{number:064x}" for number in range(100))
    first, *appended = AufsMount(lowers, lowers[0]).steps()
    assert first.count("ro+wh") == 40 and len(appended) == 60


@pytest.mark.parametrize(
    ("mount", "message"),
    [
        (AufsMount(("/x",) * MAX_BRANCHES, "/upper"), "max depth exceeded"),
        (AufsMount(("/with:colon",)), "with:colon"),
        (AufsMount(("/x",), "/with,comma"), "with,comma"),
    ],
)
def test_what_aufs_cannot_take_is_refused(mount: AufsMount, message: str) -> None:
    """Before anything is mounted, and by name."""
    with pytest.raises(Unsupported, match=message):
        list(mount.steps())


def test_pseudo_links_are_asked_for() -> None:
    """Only where auplink(8) can write them down: else they would be lost with the mount."""
    assert next(AufsMount(("/x",), "/upper", plink=True).steps()).endswith(",plink")


def test_the_mount_is_picked_up_and_taken_off_again() -> None:
    """Attach, append, pick up, detach: nothing stays in the mount table, on the bad way neither."""
    lowers = tuple(f"/layers/{number:0100}" for number in range(60))
    kernel = RecordingKernel()
    descriptor = mount_and_detach(kernel.door(), AufsMount(lowers, "/upper"), Path("/place"))
    assert descriptor > 0
    steps = list(AufsMount(lowers, "/upper").steps())
    assert kernel.calls[0] == ("mount", ("none", "/place", "aufs", 0, steps[0]))
    assert kernel.calls[1] == ("mount", ("none", "/place", "aufs", c.MS_REMOUNT, steps[1]))
    assert kernel.names()[len(steps) :] == ["open_tree", "umount"]
    failing = RecordingKernel(failures={"open_tree": errno.EINVAL})
    with pytest.raises(SyscallError):
        mount_and_detach(failing.door(), AufsMount(("/x",)), Path("/place"))
    assert failing.names() == ["mount", "open_tree", "umount"]
    assert failing.calls[0][1][3] == c.MS_RDONLY  # without a writable branch


# The driver, where no kernel has aufs.


def test_a_kernel_without_aufs_is_named_as_the_reason(tmp_path: Path) -> None:
    """Whoever asks for aufs elsewhere is told why not, and nothing is left of the question."""
    if HAS_AUFS:
        pytest.skip("this kernel has aufs")
    assert "no aufs" in AufsDriver(tmp_path / "aufs", KERNEL).available().reason
    assert os.listdir(tmp_path) == []


def test_options_and_limits_are_refused(tmp_path: Path) -> None:
    """Rather no container than one whose limit is not kept."""
    with pytest.raises(Invalid, match=r"aufs\.size"):
        AufsDriver(tmp_path, KERNEL, GraphDriverOptions({"aufs.size": "1G"}))
    with pytest.raises(Unsupported, match="size"):
        AufsDriver(tmp_path, KERNEL).create_read_write("c", None, StorageOptions(size_bytes=1))


def test_a_layer_is_mounted_on_all_its_ancestors(tmp_path: Path) -> None:
    """Nearest first, its own branch on top; closing gives the mount back."""
    mounted: list[tuple[Any, ...]] = []

    def mount(*arguments: Any) -> None:
        mounted.append(arguments)

    kernel = RecordingKernel(results={"mount": mount, "open_tree": lambda *_: os.open("/", os.O_PATH)})
    driver = AufsDriver(tmp_path / "aufs", kernel.door())
    for layer_id, parent in (("one", None), ("two", "one"), ("three", "two")):
        driver.create(layer_id, parent)
    driver.open("three")
    driver.close("three")
    driver.cleanup()
    (arguments,) = mounted
    root = tmp_path / "aufs"
    assert arguments[4].startswith(f"br:{root}/three/diff=rw:{root}/two/diff=ro+wh:{root}/one/diff=ro+wh,")
    assert os.listdir(root / "tmp") == []


# The spelling.


def merged(lower: Path, target: Path, layer: bytes) -> Path:
    """A copy of *lower* with the layer on it."""
    emptied(target)
    with as_stream(pack(lower, KERNEL)) as stream:
        unpack(stream, target, KERNEL)
    unpack(io.BytesIO(layer), target, KERNEL)
    return target


def all_names(tree: dict[bytes, Node]) -> Iterator[bytes]:
    for name, node in tree.items():
        yield name
        yield from all_names(node.children)


@needs_root
@settings(max_examples=60)
@given(trees, trees)
def test_a_branch_is_its_own_archive(old: dict[bytes, Node], new: dict[bytes, Node]) -> None:
    """Packed as it lies there, marks and all, a branch does what the layer does from which it was unpacked.

    And the changes read from it, packed, do the same.
    """
    assume(all(len(name) <= 242 for tree in (old, new) for name in all_names(tree)))  # aufs takes no longer ones
    with folder() as place:
        for name, tree in (("old", old), ("new", new)):
            build(emptied(place / name), tree)
        layer = b"".join(pack_changes(place / "new", compare_trees(place / "old", place / "new", KERNEL), KERNEL))
        branch = emptied(place / "branch")
        unpack(io.BytesIO(layer), branch, KERNEL, whiteouts=WhiteoutForm.AUFS)
        expected = describe(merged(place / "old", place / "expected", layer))
        literal = b"".join(pack(branch, KERNEL))
        assert describe(merged(place / "old", place / "literal", literal)) == expected
        changes = read_upper(branch, place / "old", KERNEL, WhiteoutForm.AUFS)
        again = b"".join(pack_changes(branch, changes, KERNEL))
        assert describe(merged(place / "old", place / "again", again)) == expected


def archive(*members: str) -> io.BytesIO:
    """A tar of empty files and (names that end in a slash) directories."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for name in members:
            info = tarfile.TarInfo(name.rstrip("/"))
            if name.endswith("/"):
                info.type, info.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(info)
    data.seek(0)
    return data


def names(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


@needs_root
@pytest.mark.parametrize(
    ("members", "expected"),
    [
        # A mark alone stays a mark.
        ([".wh.a"], [".wh.a"]),
        # A directory in place of what was deleted hides all that the layers below have there.
        ([".wh.a", "a/", "a/new"], ["a", "a/.wh..wh..opq", "a/new"]),
        (["a/", ".wh.a"], ["a", "a/.wh..wh..opq"]),
        # One that no member describes, too.
        ([".wh.a", "a/new"], ["a", "a/.wh..wh..opq", "a/new"]),
        # A file needs no mark: it hides what lies below by being there.
        ([".wh.a", "a"], ["a"]),
        (["d/", "d/.wh..wh..opq", "d/x"], ["d", "d/.wh..wh..opq", "d/x"]),
        # aufs' own book-keeping is no file of the layer.
        (["f", ".wh..wh.plnk/", ".wh..wh.aufs"], ["f"]),
    ],
)
def test_marks_are_written_as_aufs_reads_them(members: list[str], expected: list[str], tmp_path: Path) -> None:
    """Never a mark beside what it deletes: aufs would not show the file."""
    unpack(archive(*members), tmp_path, KERNEL, whiteouts=WhiteoutForm.AUFS)
    assert names(tmp_path) == expected


@needs_root
def test_a_branch_is_read_as_a_diary(tmp_path: Path) -> None:
    """Marks of what is not there say nothing, an opaque directory lists what is lost, book-keeping is left out."""
    lower, branch = emptied(tmp_path / "lower"), emptied(tmp_path / "branch")
    for path in ("gone", "d/lost", "d/kept"):
        (lower / path).parent.mkdir(exist_ok=True)
        (lower / path).write_text("x")
    shutil.copytree(lower / "d", branch / "d")
    (branch / "d" / "lost").unlink()
    for mark in (".wh.gone", ".wh.never", ".wh..wh.aufs", "d/.wh..wh..opq"):
        (branch / mark).touch()
    (branch / ".wh..wh.orph").mkdir()
    (branch / "new").touch()
    changes = read_upper(branch, lower, KERNEL, WhiteoutForm.AUFS)
    deleted = [change.path for change in changes if change.kind is ChangeKind.DELETED]
    assert deleted == ["/d/lost", "/gone"]
    assert Change("/new", ChangeKind.ADDED) in changes
    assert not any(".wh." in change.path for change in changes)

"""The laws of every graph driver, mirrored from Docker's graphtest, and more.

Each driver's test subclasses `GraphDriverLaws`.
The drivers are real: layers are mounted, written to and compared by plain `os` calls.
"""

from __future__ import annotations

import io
import itertools
import os
import signal
import stat
import sys
import tarfile
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import pytest

from mini_docker.archive.pack import as_stream, pack
from mini_docker.archive.unpack import unpack
from mini_docker.drivers.graphdriver.contract import Change, ChangeKind, GraphDriver, StorageOptions
from mini_docker.errors import Conflict, Invalid, NotFound
from mini_docker.linux.linux_kernel import LinuxKernel
from tests.archive.trees import describe, emptied, folder

KERNEL = LinuxKernel()
NO_LIMITS = StorageOptions()
A, M, D = ChangeKind.ADDED, ChangeKind.MODIFIED, ChangeKind.DELETED


@contextmanager
def opened(driver: GraphDriver, layer_id: str) -> Iterator[Path]:
    """The root of a layer, open for the length of the block."""
    root = driver.open(layer_id)
    try:
        yield Path(root.as_path())
    finally:
        driver.close(layer_id)


def seen(driver: GraphDriver, layer_id: str) -> dict[bytes, Any]:
    """All that a layer shows when it is open."""
    with opened(driver, layer_id) as root:
        return describe(root)


def layer(driver: GraphDriver, layer_id: str, parent: str | None, **files: str) -> None:
    """An image layer with some files, as a pull makes it."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for number, (name, content) in enumerate(files.items()):
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(content), 1_600_000_000 + number
            archive.addfile(info, io.BytesIO(content.encode()))
    data.seek(0)
    driver.create(layer_id, parent)
    assert driver.apply(layer_id, parent, data) == sum(map(len, files.values()))


def committed(driver: GraphDriver, layer_id: str, parent: str | None, new_id: str) -> int:
    """A layer's diff applied to the same parent again; returns the bytes that apply counted."""
    driver.create(new_id, parent)
    with driver.diff(layer_id, parent) as stream:
        return driver.apply(new_id, parent, stream)


def rebased(driver: GraphDriver, layer_id: str, parent: str | None, archive: BinaryIO) -> int:
    """A layer that is unpacked before its driver knows what it stands on; returns the bytes that it added."""
    rebasing = driver.rebasing
    if rebasing is None:
        pytest.skip(f"a layer of {driver.name} begins as a copy of its parent, which must be there first")
    implied: list[bytes] = []
    loose = rebasing.make_loose(is_base=parent is None)
    try:
        size = unpack(
            archive, loose.descriptor, KERNEL, whiteouts=loose.whiteouts, on_implied=implied.append, ids=loose.ids
        )
        rebasing.rebase(loose, layer_id, parent, implied)
    finally:
        rebasing.discard(loose)
    return size


def layer_of_all_kinds(root_too: bool) -> bytes:
    """A layer that adds, replaces, deletes, empties, and leaves directories undescribed."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.PAX_FORMAT) as archive:

        def member(name: str, kind: bytes = tarfile.REGTYPE, **fields: Any) -> None:
            info = tarfile.TarInfo(name)
            info.type, info.mtime, info.mode = kind, 1_600_000_000, 0o750
            for field, value in fields.items():
                setattr(info, field, value)
            archive.addfile(info, io.BytesIO(bytes(info.size)))

        if root_too:
            member("./", tarfile.DIRTYPE, uid=7)
        member("file", size=5)
        member("hard", tarfile.LNKTYPE, linkname="file")
        member("private/.wh.gone")
        member("emptied/.wh..wh..opq")
        member("emptied/new", size=1)
        member(".wh.tree")
        member("tree", size=2)
        member("new/deep/link", tarfile.SYMTYPE, linkname="../../file")
        member(".wh.nothing")
        member("device", tarfile.CHRTYPE, devmajor=1, devminor=3)
    return data.getvalue()


def killed_before_operation(number: int, work: Callable[[], None]) -> bool:
    """Do *work* in a child that dies before its file operation of that number; False if it ended before."""
    operations = itertools.count()
    audited = {
        "open", "os.mkdir", "os.rename", "os.symlink", "os.link", "os.remove", "os.rmdir", "os.chmod", "os.chown",
        "os.utime", "os.setxattr", "os.truncate", "fcntl.ioctl",
    }  # fmt: skip

    def die_in_time(event: str, arguments: tuple[object, ...]) -> None:
        if event in audited and next(operations) == number:
            os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if child == 0:
        sys.addaudithook(die_in_time)
        try:
            work()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(1)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL)
    return status != 0


class GraphDriverLaws:
    """The contract, law by law."""

    driver_class: ClassVar[Any]
    own_names: ClassVar[frozenset[str]] = frozenset({"tmp", "trash", "l"})
    """What a driver may have in its folder that is no layer."""
    deepest: ClassVar[int] = 128
    """The most layers that the driver stacks."""

    @pytest.fixture
    def root(self) -> Iterator[Path]:
        """The driver's own folder. Drivers that need a certain file system override it."""
        with folder() as place:
            yield place / "driver"

    @pytest.fixture
    def driver(self, root: Path) -> Iterator[GraphDriver]:
        driver: GraphDriver = self.driver_class(root, KERNEL)
        available = driver.available()
        if not available:
            pytest.skip(available.reason)
        yield driver
        driver.cleanup()

    def test_probing_leaves_no_trace_of_use(self, driver: GraphDriver, root: Path) -> None:
        """A folder that is there means that the driver was used in it: finding out whether it works is no use."""
        assert driver.available()
        assert not root.exists()

    def test_an_empty_layer_is_empty(self, driver: GraphDriver) -> None:
        """graphtest's CreateEmpty: an empty directory of root's, mode 0755, that exists until it is removed."""
        driver.create("empty", None)
        assert driver.exists("empty") and driver.layers() == ["empty"]
        with opened(driver, "empty") as root:
            status = root.stat()
            assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (0o755, 0, 0)
            assert os.listdir(root) == []
        driver.remove("empty")
        assert not driver.exists("empty") and driver.layers() == []

    def test_a_snapshot_is_an_exact_image_of_its_parent(self, driver: GraphDriver) -> None:
        """graphtest's CreateBase and CreateSnap: odd modes and owners, and exactly the entries of the parent."""
        driver.create_read_write("base", None, NO_LIMITS)
        with opened(driver, "base") as root:
            os.chown(root, 3, 4)
            os.chmod(root, 0o750)
            (root / "a subdir").mkdir()
            os.chown(root / "a subdir", 1, 2)
            os.chmod(root / "a subdir", 0o705 | stat.S_ISVTX)
            (root / "a file").write_text("Some data")
            os.chmod(root / "a file", 0o222 | stat.S_ISUID)
            os.setxattr(root / "a file", "trusted.note", b"1")
            os.link(root / "a file", root / "its other name")
        driver.create("snap", "base")
        driver.create_read_write("container", "snap", NO_LIMITS)
        base = seen(driver, "base")
        assert set(base) == {b"", b"a subdir", b"a file", b"its other name"}
        assert seen(driver, "snap") == base
        assert seen(driver, "container") == base
        assert driver.changes("snap", "base") == driver.changes("container", "snap") == []

    def test_writes_touch_one_layer_alone(self, driver: GraphDriver) -> None:
        """Two containers of one image do not see each other, and the image sees neither."""
        layer(driver, "image", None, file="from the image", other="x")
        before = seen(driver, "image")
        for name in ("one", "two"):
            driver.create_read_write(name, "image", NO_LIMITS)
        with opened(driver, "one") as one, opened(driver, "two") as two:
            (one / "file").write_text("one's")
            (one / "other").unlink()
            (two / "new").write_text("two's")
            assert (two / "file").read_text() == "from the image"
            assert sorted(os.listdir(one)) == ["file"] and sorted(os.listdir(two)) == ["file", "new", "other"]
        assert seen(driver, "image") == before

    @pytest.mark.parametrize("depth", [50, 128])
    def test_a_deep_stack_is_read_through(self, driver: GraphDriver, depth: int) -> None:
        """graphtest's DeepLayerRead: each layer replaces a file and adds one; the top shows all of them."""
        below: str | None = None
        depth = min(depth, self.deepest)
        for number in range(depth):
            layer(driver, f"layer{number}", below, top=str(number), **{f"file{number}": "x"})
            below = f"layer{number}"
        assert below is not None
        driver.create_read_write("container", below, NO_LIMITS)
        with opened(driver, "container") as root:
            assert (root / "top").read_text() == str(depth - 1)
            assert len(os.listdir(root)) == depth + 1
            (root / "top").write_text("written")
        assert driver.changes("container", below) == [Change("/top", M)]

    def test_diff_then_apply_gives_the_same_tree(self, driver: GraphDriver) -> None:
        """graphtest's DiffApply, deletions included: DiffSize is what ApplyDiff counted, and the trees are equal."""
        layer(driver, "image", None, kept="kept", gone="gone", changed="changed")
        driver.create_read_write("setup", "image", NO_LIMITS)
        with opened(driver, "setup") as root:
            for directory in ("emptied", "replaced", "file-to-directory-parent"):
                (root / directory).mkdir()
                (root / directory / "old").write_text("old")
            (root / "becomes a directory").write_text("file")
            (root / "becomes a link").mkdir()
        committed(driver, "setup", "image", "image2")
        driver.create_read_write("container", "image2", NO_LIMITS)
        with opened(driver, "container") as root:
            (root / "gone").unlink()
            (root / "changed").write_text("longer than it was")
            (root / "emptied" / "old").unlink()
            (root / "replaced" / "old").unlink()
            (root / "replaced").rmdir()
            (root / "replaced").mkdir(0o700)
            (root / "replaced" / "new").write_text("new")
            (root / "becomes a directory").unlink()
            (root / "becomes a directory").mkdir()
            (root / "becomes a directory" / "inside").write_text("inside")
            (root / "becomes a link").rmdir()
            (root / "becomes a link").symlink_to("kept")
            os.mkfifo(root / "fifo")
            os.mknod(root / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
            os.link(root / "changed", root / "linked")
            os.setxattr(root / "kept", "user.note", b"1")
        changes = driver.changes("container", "image2")
        assert committed(driver, "container", "image2", "image3") == driver.size("container", "image2")
        assert seen(driver, "image3") == seen(driver, "container")
        assert driver.changes("image3", "image2") == changes
        assert driver.size("image3", "image2") == driver.size("container", "image2")

    def test_changes_are_those_of_docker_diff(self, driver: GraphDriver) -> None:
        """graphtest's Changes: the same list from every driver, a replaced directory's lost files included."""
        driver.create_read_write("base", None, NO_LIMITS)
        with opened(driver, "base") as root:
            for directory in ("kept", "replaced/deep", "lost/deep"):
                (root / directory).mkdir(parents=True)
            for file in ("kept/file", "replaced/one", "replaced/two", "lost/file"):
                (root / file).write_text("old")
        driver.create_read_write("container", "base", NO_LIMITS)
        with opened(driver, "container") as root:
            (root / "kept" / "file").chmod(0o600)
            for path in ("replaced/one", "replaced/two", "lost/file"):
                (root / path).unlink()
            for path in ("replaced/deep", "replaced", "lost/deep", "lost"):
                (root / path).rmdir()
            (root / "replaced").mkdir()
            (root / "replaced" / "two").write_text("new one")
            (root / "new" / "deep").mkdir(parents=True)
        assert driver.changes("container", "base") == [
            Change("/kept", M),
            Change("/kept/file", M),
            Change("/lost", D),
            Change("/new", A),
            Change("/new/deep", A),
            Change("/replaced", M),
            Change("/replaced/deep", D),
            Change("/replaced/one", D),
            Change("/replaced/two", M),
        ]

    def test_any_layer_can_be_compared_with_any(self, driver: GraphDriver) -> None:
        """Squashing asks for the difference to a grandparent, flattening for that to nothing."""
        layer(driver, "one", None, a="1", b="1")
        layer(driver, "two", "one", a="22")
        layer(driver, "three", "two", c="333")
        assert driver.changes("three", "one") == [Change("/a", M), Change("/c", A)]
        assert driver.changes("three", None) == [Change("/a", A), Change("/b", A), Change("/c", A)]
        assert (driver.size("three", "one"), driver.size("three", None)) == (5, 6)
        with driver.diff("three", None) as stream:
            driver.create("flat", None)
            assert driver.apply("flat", None, stream) == 6
        assert seen(driver, "flat") == seen(driver, "three")

    def test_a_directory_that_the_layer_does_not_describe_keeps_its_looks(self, driver: GraphDriver) -> None:
        """Some builders leave parents out of their layers: the directory below stays as it is."""
        driver.create_read_write("base", None, NO_LIMITS)
        with opened(driver, "base") as root:
            (root / "private").mkdir(0o700)
            os.chown(root / "private", 5, 6)
        layer(driver, "top", "base", **{"private/file": "x", "new/deep/file": "x"})
        with opened(driver, "top") as root:
            status = (root / "private").stat()
            assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (0o700, 5, 6)
            assert stat.S_IMODE((root / "new" / "deep").stat().st_mode) == 0o755

    @pytest.mark.parametrize("root_too", [True, False], ids=["with root", "without root"])
    @pytest.mark.parametrize("parent", ["base", None], ids=["on a base", "as the base"])
    def test_unpacked_before_its_parent_a_layer_is_the_same(
        self, driver: GraphDriver, parent: str | None, root_too: bool
    ) -> None:
        """Rebasing is a question of time alone: content, looks, deletions, changes, size are as by create and apply."""
        driver.create_read_write("base", None, NO_LIMITS)
        with opened(driver, "base") as root:
            os.chmod(root, 0o711)
            os.setxattr(root, "user.note", b"root")
            for name in ("private", "emptied", "tree"):
                (root / name).mkdir(0o700)
                os.chown(root / name, 5, 6)
                (root / name / "gone").write_text("below")
        archive = layer_of_all_kinds(root_too)
        size = rebased(driver, "rebased", parent, io.BytesIO(archive))
        driver.create("applied", parent)
        assert size == driver.apply("applied", parent, io.BytesIO(archive))
        shown = seen(driver, "rebased")
        times = {b"", b"new", b"new/deep", b"private", b"emptied"}  # of directories that nobody described
        for path, node in seen(driver, "applied").items():
            assert path in times or shown[path] == node, path
        assert shown.keys() == seen(driver, "applied").keys()
        assert driver.changes("rebased", parent) == driver.changes("applied", parent)
        assert driver.size("rebased", parent) == driver.size("applied", parent) == size
        with opened(driver, "rebased") as new, opened(driver, "applied") as old:
            for path in map(os.fsdecode, times):
                ours, theirs = (new / path).stat(), (old / path).stat()
                assert (ours.st_mode, ours.st_uid, ours.st_gid) == (theirs.st_mode, theirs.st_uid, theirs.st_gid), path
                assert os.listxattr(new / path) == os.listxattr(old / path)

    def test_a_loose_layer_is_no_layer(self, driver: GraphDriver, root: Path) -> None:
        """Nobody sees it, whether it is discarded, misplaced or corrupt; and nothing of it is left."""
        layer(driver, "base", None, file="x")
        with pytest.raises(Conflict, match="base"):
            rebased(driver, "base", None, io.BytesIO(layer_of_all_kinds(False)))
        with pytest.raises(NotFound, match="nobody"):
            rebased(driver, "child", "nobody", io.BytesIO(layer_of_all_kinds(False)))
        with pytest.raises(Invalid):
            rebased(driver, "child", "base", io.BytesIO(layer_of_all_kinds(False)[:5000]))
        assert driver.layers() == ["base"]
        driver.cleanup()
        assert os.listdir(root / "tmp") == []

    def test_killed_while_layers_are_stacked_all_is_whole(self, driver: GraphDriver, root: Path) -> None:
        """kill -9 before each file operation of unpacking and rebasing: the layer is there, whole, or not there."""
        layer(driver, "whole", None, **{"file": "x", "private/gone": "y", "emptied/gone": "y", "tree/gone": "y"})
        if driver.rebasing is None:
            pytest.skip(f"a layer of {driver.name} begins as a copy of its parent, which must be there first")
        archive = layer_of_all_kinds(False)
        whole = seen(driver, "whole")

        def work() -> None:
            rebased(self.driver_class(root, KERNEL), "made", "whole", io.BytesIO(archive))

        kills = 0
        while killed_before_operation(kills, work):
            kills += 1
            successor: GraphDriver = self.driver_class(root, KERNEL)
            successor.cleanup()
            assert os.listdir(root / "tmp") == [], f"after {kills} operations"
            assert seen(successor, "whole") == whole
            if successor.exists("made"):
                assert {b"file", b"hard", b"new/deep/link", b"emptied/new"} <= set(seen(successor, "made"))
                successor.remove("made")
            assert set(os.listdir(root)) - self.own_names == {"whole"}
            successor.cleanup()
        assert kills > 20

    def test_unknown_ids_are_not_found(self, driver: GraphDriver) -> None:
        """Every method says NotFound of an id it does not know; exists says no."""
        assert not driver.exists("nobody")
        for call in (driver.open, driver.close, driver.remove):
            with pytest.raises(NotFound, match="nobody"):
                call("nobody")
        for compare in (driver.changes, driver.size):
            with pytest.raises(NotFound, match="nobody"):
                compare("nobody", None)
        with pytest.raises(NotFound, match="nobody"), driver.diff("nobody", None):
            pass
        with pytest.raises(NotFound, match="nobody"):
            driver.apply("nobody", None, io.BytesIO())
        with pytest.raises(NotFound, match="nobody"):
            driver.create("child", "nobody")
        assert driver.layers() == []

    @pytest.mark.parametrize("layer_id", ["", "..", "a/b", "tmp", "trash", "l", ".hidden", "x" * 200, "nul\0"])
    def test_ids_that_are_no_names_are_refused(self, driver: GraphDriver, layer_id: str) -> None:
        """An id becomes a folder's name: none may lead elsewhere or take the place of the driver's own."""
        with pytest.raises(Invalid):
            driver.create(layer_id, None)

    def test_what_is_in_use_is_not_removed(self, driver: GraphDriver) -> None:
        """Neither an open layer, nor one that others stand on, nor is a taken id given again."""
        layer(driver, "base", None, file="x")
        driver.create_read_write("container", "base", NO_LIMITS)
        with pytest.raises(Conflict, match="parent"):
            driver.remove("base")
        with pytest.raises(Conflict, match="exists"):
            driver.create("base", None)
        with opened(driver, "container"), pytest.raises(Conflict, match="open"):
            driver.remove("container")
        driver.remove("container")
        driver.remove("base")
        with pytest.raises(NotFound):
            driver.remove("base")

    def test_opens_are_counted_and_shared(self, driver: GraphDriver) -> None:
        """cp opens what the container has open: one mount, which lasts until the last of them closes it."""
        driver.create_read_write("container", None, NO_LIMITS)
        first = driver.open("container")
        assert driver.open("container") == first
        driver.close("container")
        (Path(first.as_path()) / "file").write_text("still mounted")
        driver.close("container")
        with pytest.raises(Conflict, match="not open"):
            driver.close("container")
        with opened(driver, "container") as root:
            assert (root / "file").read_text() == "still mounted"

    def test_a_mount_that_outlived_a_daemon_is_adopted(self, driver: GraphDriver, root: Path) -> None:
        """After a crash of the daemon the supervisor still has the descriptor: it is used, and no second mount made."""
        driver.create_read_write("container", None, NO_LIMITS)
        kept = driver.open("container").descriptor
        survivor = os.dup(kept) if kept >= 0 else -1
        driver.close("container")
        driver.cleanup()
        successor: GraphDriver = self.driver_class(root, KERNEL)
        adopted = successor.adopt("container", survivor)
        (Path(adopted.as_path()) / "file").touch()
        assert successor.open("container") == adopted
        with pytest.raises(Conflict):
            successor.adopt("container", -1)
        with pytest.raises(Conflict):
            successor.remove("container")
        successor.close("container")
        successor.close("container")
        successor.remove("container")
        successor.cleanup()

    def test_a_corrupt_layer_does_not_exist(self, driver: GraphDriver) -> None:
        """Half a layer must never be opened or built upon; only removed."""
        driver.create("half", None)
        with folder() as place:
            (emptied(place / "tree") / "file").write_bytes(bytes(100_000))
            data = b"".join(pack(place / "tree", KERNEL))
        with pytest.raises(Invalid, match="file"):
            driver.apply("half", None, io.BytesIO(data[:50_000]))
        assert not driver.exists("half") and driver.layers() == []
        with pytest.raises(NotFound):
            driver.create("child", "half")
        driver.remove("half")
        driver.create("half", None)

    def test_a_crash_leaves_no_half_made_layer(self, driver: GraphDriver, root: Path) -> None:
        """Killed while a layer is made, written to or removed: the next daemon sees whole layers, and no rubbish."""
        killed: GraphDriver = self.driver_class(root, KERNEL)
        layer(killed, "whole", None, file="x")
        killed.create("half", None)

        class Killed(BaseException):
            pass

        class Stream(io.BytesIO):
            def read(self, size: int | None = -1) -> bytes:
                raise Killed

        with pytest.raises(Killed):
            killed.apply("half", None, Stream())
        for rubbish in ("tmp/made.1234", "trash/removed.1234"):
            (root / rubbish / "diff" / "deep").mkdir(parents=True)
        successor: GraphDriver = self.driver_class(root, KERNEL)
        assert successor.layers() == ["whole"]
        successor.cleanup()
        assert successor.layers() == ["whole"] and not successor.exists("half")
        assert not (root / "half").exists()
        assert os.listdir(root / "tmp") == os.listdir(root / "trash") == []
        successor.create_read_write("child", "whole", NO_LIMITS)
        with opened(successor, "child") as tree:
            assert (tree / "file").read_text() == "x"
        successor.remove("child")
        successor.cleanup()

    def test_killed_at_any_file_operation_all_is_whole_again(self, driver: GraphDriver, root: Path) -> None:
        """kill -9 before the first, second, … file operation of making, filling and removing layers, each in turn."""
        layer(driver, "whole", None, file="x")
        whole = seen(driver, "whole")
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w") as archive:
            info = tarfile.TarInfo("new/file")
            info.size = 3
            archive.addfile(info, io.BytesIO(b"new"))

        def work() -> None:
            daemon: GraphDriver = self.driver_class(root, KERNEL)
            for layer_id in ("container", "made"):  # the child first
                if daemon.exists(layer_id):
                    daemon.remove(layer_id)
            daemon.create("made", "whole")
            daemon.apply("made", "whole", io.BytesIO(data.getvalue()))
            daemon.create_read_write("container", "made", NO_LIMITS)
            daemon.remove("container")
            daemon.cleanup()

        kills = 0
        while killed_before_operation(kills, work):
            kills += 1
            successor: GraphDriver = self.driver_class(root, KERNEL)
            successor.cleanup()
            assert os.listdir(root / "tmp") == [], f"after {kills} operations"
            assert not (root / "trash").exists() or os.listdir(root / "trash") == [], f"after {kills} operations"
            assert "whole" in successor.layers() and seen(successor, "whole") == whole
            for layer_id in set(successor.layers()) - {"whole"}:
                # Made and not yet filled it is its parent's image; filled, it has all of the archive.
                assert set(seen(successor, layer_id)) - set(whole) in (set(), {b"new", b"new/file"})
            folders = set(os.listdir(root)) - self.own_names
            assert folders == set(successor.layers())
            successor.cleanup()
        assert kills > 20

    def test_removal_leaves_nothing(self, driver: GraphDriver, root: Path) -> None:
        """Remove all, wait for the background, and the folder holds no file of a layer."""
        layer(driver, "base", None, file="x")
        driver.create_read_write("container", "base", NO_LIMITS)
        with opened(driver, "container") as tree:
            (tree / "a" / "b").mkdir(parents=True)
            (tree / "file").unlink()
        driver.remove("container")
        driver.remove("base")
        driver.cleanup()
        assert os.listdir(root / "tmp") == os.listdir(root / "trash") == []
        assert not (root / "l").exists() or os.listdir(root / "l") == []
        assert set(os.listdir(root)) <= self.own_names

    def test_many_threads_at_once(self, driver: GraphDriver) -> None:
        """A thread a connection: containers come and go side by side, and one id is won by one of them."""
        layer(driver, "image", None, file="x")
        won: list[str] = []
        barrier = threading.Barrier(8)

        def live(number: int) -> None:
            barrier.wait()
            try:
                driver.create("wanted-by-all", None)
                won.append(str(number))
            except Conflict:
                pass
            for turn in range(5):
                name = f"container{number}-{turn}"
                driver.create_read_write(name, "image", NO_LIMITS)
                with opened(driver, name) as tree:
                    (tree / "own").write_text(name)
                assert driver.changes(name, "image") == [Change("/own", A)]
                driver.remove(name)

        with ThreadPoolExecutor(8) as threads:
            for future in [threads.submit(live, number) for number in range(8)]:
                future.result()
        assert len(won) == 1
        assert driver.layers() == ["image", "wanted-by-all"]

    def test_no_descriptor_and_no_mount_is_left(self, driver: GraphDriver) -> None:
        """What was opened is closed, on the good ways and the bad ones; the host's mount table never changes."""

        def held() -> tuple[list[str], str]:
            return sorted(os.listdir("/proc/self/fd")), Path("/proc/self/mountinfo").read_text()

        layer(driver, "image", None, file="x")
        driver.cleanup()
        before = held()
        driver.create_read_write("container", "image", NO_LIMITS)
        with opened(driver, "container") as tree:
            assert Path("/proc/self/mountinfo").read_text() == before[1]
            (tree / "new").write_text("x")
        with driver.diff("container", "image") as stream:
            stream.read(10)
        driver.changes("container", None)
        with pytest.raises(Invalid):
            driver.apply("container", "image", io.BytesIO(b"no tar" * 1000))
        driver.remove("container")
        driver.cleanup()
        assert held() == before

    def test_status_names_the_ground(self, driver: GraphDriver) -> None:
        """docker info shows what the driver stands on."""
        assert dict(driver.status())["Backing Filesystem"]

    def test_a_whole_tree_survives_a_stack(self, driver: GraphDriver) -> None:
        """A tree with everything in it goes into a layer and comes out of a container two layers above."""
        with folder() as place:
            tree = emptied(place / "tree")
            (tree / "setuid").write_text("x")
            os.chmod(tree / "setuid", 0o4755)
            os.setxattr(tree / "setuid", "security.capability", bytes.fromhex("01000002" + "00040000" + "00" * 12))
            with open(os.fsencode(tree) + b"/\xff name", "wb") as file:
                file.truncate(1 << 20)
            os.symlink("/nowhere", tree / "link")
            driver.create("base", None)
            with as_stream(pack(tree, KERNEL)) as stream:
                driver.apply("base", None, stream)
            expected = describe(tree)
        driver.create("middle", "base")
        driver.create_read_write("container", "middle", NO_LIMITS)
        assert seen(driver, "container") == expected

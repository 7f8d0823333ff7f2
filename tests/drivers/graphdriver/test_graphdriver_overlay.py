"""overlay, held to the laws of all graph drivers, with a new kernel's calls and with an old one's; and its own."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mini_docker.drivers.graphdriver.contract import ChangeKind, GraphDriverOptions, MountedRoot, StorageOptions
from mini_docker.drivers.graphdriver.overlay import OverlayDriver
from mini_docker.drivers.graphdriver.overlay_mount import OPTIONS, OverlayMount, mount_detached
from mini_docker.drivers.graphdriver.short_names import MAX_LOWERS
from mini_docker.errors import Invalid, Unsupported
from mini_docker.linux.errors import SyscallError
from mini_docker.linux.linux_kernel import LinuxKernel
from mini_docker.linux.recording import RecordingKernel
from tests.archive.trees import folder
from tests.drivers.graphdriver.contract_suite import KERNEL, NO_LIMITS, GraphDriverLaws, layer, opened
from tests.drivers.graphdriver.layer_machine import MACHINE_SETTINGS, LayerMachine

needs_root = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="mounts an overlay: needs root"),
]


class TestOverlay(GraphDriverLaws):
    driver_class = OverlayDriver
    pytestmark = needs_root


class OldKernel(LinuxKernel):
    """One from before Linux 6.8: it does not take lower directories one by one."""

    def fsconfig_string(self, context: int, key: str, value: str) -> None:
        if key == "lowerdir+":
            raise SyscallError("fsconfig", (context, 1, key, value, 0), errno.EINVAL)
        super().fsconfig_string(context, key, value)


class TestOverlayOnAnOldKernel(GraphDriverLaws):
    """The same laws hold where the mount must be attached for a moment and picked up again."""

    pytestmark = needs_root

    @staticmethod
    def driver_class(root: Path, _kernel: LinuxKernel) -> OverlayDriver:
        return OverlayDriver(root, OldKernel())


class OverlayMachine(LayerMachine):
    driver_class = OverlayDriver


class TestOverlayMachine(OverlayMachine.TestCase):  # type: ignore[misc]
    settings = MACHINE_SETTINGS
    pytestmark = needs_root


@pytest.fixture
def driver() -> Iterator[OverlayDriver]:
    with folder() as place:
        driver = OverlayDriver(place / "overlay", KERNEL)
        yield driver
        driver.cleanup()


def by_root(test: object) -> object:
    for mark in needs_root:
        test = mark(test)
    return test


@by_root
def test_a_detached_mount_is_handed_out(driver: OverlayDriver) -> None:
    """A descriptor that stands in no mount table: a crash of its holder leaks nothing."""
    layer(driver, "image", None, file="x")
    driver.create_read_write("container", "image", NO_LIMITS)
    root = driver.open("container")
    assert root == MountedRoot(descriptor=root.descriptor) and root.descriptor >= 0
    assert "overlay" not in Path("/proc/self/mountinfo").read_text().replace(" overlay overlay ", "")
    driver.close("container")


@by_root
@pytest.mark.parametrize("depth", [1, 3])
def test_image_layers_are_open_for_reading_only(driver: OverlayDriver, depth: int) -> None:
    """Containers stand on them: a write would change them all, and is undefined behaviour besides."""
    for number in range(depth):
        layer(driver, f"layer{number}", f"layer{number - 1}" if number else None, file="x" * number)
    with opened(driver, f"layer{depth - 1}") as root, pytest.raises(OSError) as caught:
        (root / "new").touch()
    assert caught.value.errno == errno.EROFS


@by_root
def test_a_container_layer_is_two_directories_and_a_note(driver: OverlayDriver) -> None:
    """The hot path of container creation: its cost must not grow with what lies below."""
    layer(driver, "image", None, **{f"file{number}": "x" for number in range(100)})
    driver.create_read_write("container", "image", NO_LIMITS)
    made = driver._folders.folder("container")
    assert sorted(os.listdir(made)) == ["diff", "lower", "work"]
    assert os.listdir(made / "diff") == []
    assert (made / "lower").read_text().startswith("l/")


def prepare_a_third(driver: OverlayDriver) -> None:
    """An image, two containers of it in a row, and all the time that the driver wants."""
    layer(driver, "image", None, file="below")
    for name in ("first", "second"):
        driver.create_read_write(name, "image", NO_LIMITS)
    driver.prepare()
    driver._background.drain()


@by_root
def test_the_third_container_of_an_image_finds_its_folder_filled(driver: OverlayDriver) -> None:
    """It is a layer like any other. When the image goes, so does what was filled for it."""
    root = driver._root
    prepare_a_third(driver)
    (spare,) = (root / "tmp").iterdir()
    number = spare.stat().st_ino
    driver.create_read_write("third", "image", NO_LIMITS)
    assert (root / "third").stat().st_ino == number
    with opened(driver, "third") as tree:
        assert (tree / "file").read_text() == "below"
        (tree / "file").write_text("mine")
    assert [(change.path, change.kind) for change in driver.changes("third", "image")] == [
        ("/file", ChangeKind.MODIFIED)
    ]
    driver.prepare()
    driver._background.drain()
    assert len(list((root / "tmp").iterdir())) == 1
    for name in ("first", "second", "third", "image"):
        driver.remove(name)
    driver._background.drain()
    assert list((root / "tmp").iterdir()) == [] and driver.layers() == []


@by_root
def test_a_daemon_that_ends_takes_its_spare_folder_along(driver: OverlayDriver) -> None:
    """And nothing of what is being made just then: who creates a container in that moment has one."""
    prepare_a_third(driver)
    being_made = driver._folders.scratch("being-made")
    driver.cleanup()
    assert list((driver._root / "tmp").iterdir()) == [being_made]
    driver.create_read_write("third", "image", NO_LIMITS)
    with opened(driver, "third") as tree:
        assert (tree / "file").read_text() == "below"


@by_root
def test_an_image_that_goes_while_a_folder_is_filled_on_it_leaves_no_link(driver: OverlayDriver) -> None:
    """A short name that could not be noted is taken back."""
    driver.create("image", None)
    os.rename(driver._root / "image", driver._root / "trash-of-the-test")
    with pytest.raises(FileNotFoundError):
        driver._fill_apart("image")
    assert list(driver._names.links.iterdir()) == [] and list((driver._root / "tmp").iterdir()) == []


@by_root
def test_a_spare_folder_that_a_crash_left_is_rubbish(driver: OverlayDriver) -> None:
    root = driver._root
    prepare_a_third(driver)
    following = OverlayDriver(root, KERNEL)
    following.cleanup()
    assert list((root / "tmp").iterdir()) == [] and set(following.layers()) == {"image", "first", "second"}


@by_root
def test_a_layer_opened_again_while_it_is_being_closed_is_mounted_once(driver: OverlayDriver) -> None:
    """Two overlays on one upper directory are undefined behaviour: an open takes the closing mount back or waits."""
    driver.create_read_write("container", None, NO_LIMITS)
    layer(driver, "image", None, file="x")
    driver.create_read_write("other", "image", NO_LIMITS)
    for turn in range(50):
        with opened(driver, "other") as root:
            (root / f"file{turn}").touch()
            assert len(os.listdir(root)) == turn + 2


@by_root
def test_too_deep_a_stack_is_refused(driver: OverlayDriver) -> None:
    """A page of mount options holds 129 short names; one more is an error before anything is made."""
    below = None
    for number in range(MAX_LOWERS + 1):
        driver.create(f"layer{number}", below)
        below = f"layer{number}"
    with pytest.raises(Unsupported, match="max depth exceeded"):
        driver.create("too-deep", below)
    assert not driver.exists("too-deep")


@by_root
def test_creation_is_fast(driver: OverlayDriver) -> None:
    """On a memory file system half a millisecond is plenty: what is slower does something that it should not."""
    layer(driver, "image", None, file="x")
    times = []
    for number in range(100):
        begin = time.perf_counter()
        driver.create_read_write(f"container{number}", "image", NO_LIMITS)
        times.append(time.perf_counter() - begin)
    assert sorted(times)[50] < 0.005  # ten times the aim: shared machines are noisy


@by_root
def test_links_that_a_crash_left_are_collected(driver: OverlayDriver) -> None:
    """A short name that no layer notes was made by a daemon that died before it could note it."""
    layer(driver, "image", None, file="x")
    driver.create("child", "image")
    links = driver._root / "l"
    [noted] = os.listdir(links)
    os.symlink("../image/diff", links / "stale1")
    os.symlink("../gone/diff", links / "stale2")
    successor = OverlayDriver(driver._root, KERNEL)
    successor.cleanup()
    assert os.listdir(links) == [noted]
    assert successor.changes("child", "image") == []


@by_root
def test_a_mount_that_a_crash_left_attached_is_taken_off_and_not_emptied(driver: OverlayDriver) -> None:
    """On an old kernel a mount is attached for a moment. Cleaning up through it would delete a container's files."""
    layer(driver, "image", None, file="x")
    driver.create_read_write("container", "image", NO_LIMITS)
    folders = driver._folders
    folder = folders.folder("container")
    place = folders.scratch("mount")
    mount = OverlayMount(driver._names.links, (driver._names.of("image"),), str(folder / "diff"), str(folder / "work"))
    links = os.open(driver._names.links, os.O_RDONLY)
    KERNEL.mount("overlay", str(place), "overlay", data=mount.by_option_string(links))
    os.close(links)
    OverlayDriver(driver._root, KERNEL).cleanup()
    assert str(place) not in Path("/proc/self/mountinfo").read_text() and not place.exists()
    with opened(driver, "container") as root:
        assert (root / "file").read_text() == "x"


@by_root
def test_a_limit_is_refused_and_nothing_half_made(driver: OverlayDriver) -> None:
    """Rather no container than one whose limit is not kept: no tmpfs counts projects."""
    with pytest.raises(Unsupported, match=r"size cannot be limited: the file system of .* enforces no project quotas"):
        driver.create_read_write("container", None, StorageOptions(size_bytes=1))
    assert driver.layers() == []


def test_unknown_options_are_refused(tmp_path: Path) -> None:
    """A misspelt option must not be believed to hold."""
    with pytest.raises(Invalid, match=r"overlay\.sise"):
        OverlayDriver(tmp_path, KERNEL, GraphDriverOptions({"overlay.sise": "1"}))


def test_the_mount_is_planned_as_parameters_and_as_a_string() -> None:
    """One plan, two spellings: nearest lower first in both, and what keeps the upper directory readable as a layer."""
    mount = OverlayMount(Path("/r/l"), ("aa", "bb"), "/r/x,y:z/diff", "/r/x,y:z/work")
    assert mount.by_parameters() == (
        ("source", "overlay"), ("lowerdir+", "/r/l/aa"), ("lowerdir+", "/r/l/bb"),
        ("upperdir", "/r/x,y:z/diff"), ("workdir", "/r/x,y:z/work"), *OPTIONS,
    )  # fmt: skip
    assert mount.by_option_string(7) == (
        "lowerdir=/proc/self/fd/7/aa:/proc/self/fd/7/bb,upperdir=/r/x\\,y\\:z/diff,workdir=/r/x\\,y\\:z/work,"
        "redirect_dir=off,metacopy=off,index=off"
    )


def test_the_longest_option_string_fits_a_page() -> None:
    """mount(2) takes 4096 bytes of options: 129 short names and two long paths fit in."""
    layer_folder = "/var/lib/mini-docker/overlay/" + "f" * 64
    mount = OverlayMount(Path("/r/l"), ("abcdef",) * MAX_LOWERS, layer_folder + "/diff", layer_folder + "/work")
    assert len(mount.by_option_string(999)) < 4096


def test_a_failed_mount_closes_its_context() -> None:
    """Each failing start would otherwise cost the daemon a descriptor."""
    context = os.open("/", os.O_RDONLY)
    kernel = RecordingKernel(results={"fsopen": context}, failures={"fsconfig_create": errno.EINVAL})
    with pytest.raises(SyscallError):
        mount_detached(kernel.door(), OverlayMount(Path("/l"), ("a",)))
    with pytest.raises(OSError):
        os.fstat(context)

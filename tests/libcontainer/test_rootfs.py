"""The rootfs plan: pick up, pivot, attach, protect, in the order that keeps the host out of reach."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mini_docker.dataclasses import replace
from mini_docker.errors import Invalid
from mini_docker.libcontainer import rootfs, rootfs_plan
from mini_docker.libcontainer.config import ContainerSpec, Device, Mount, Namespace, ProcessSpec
from mini_docker.libcontainer.mount_options import Changes
from mini_docker.linux import constants as c
from mini_docker.linux.recording import RecordingKernel

MOUNT = Namespace("mount")


def spec(*mounts: Mount, namespaces: tuple[Namespace, ...] = (MOUNT,), **more: object) -> ContainerSpec:
    return ContainerSpec(ProcessSpec(("true",)), namespaces, mounts=mounts, **more)  # type: ignore[arg-type]


def only_step(mount: Mount) -> rootfs_plan.MountStep:
    (step,) = rootfs_plan.plan(spec(mount)).mounts
    return step


flag_options = st.lists(st.sampled_from(["ro", "nosuid", "nodev", "noexec", "rw", "suid"]), unique=True)
data_options = st.lists(st.sampled_from(["mode=755", "size=64k", "newinstance"]), unique=True)


@given(flag_options, data_options)
def test_each_option_is_an_attribute_or_the_file_systems_own(flags: list[str], data: list[str]) -> None:
    """What mount(8) keeps in flags goes to the mount, the rest to the file system, and nothing is lost."""
    step = only_step(Mount("/x", "tmpfs", "tmpfs", (*flags, *data)))
    assert isinstance(step.what, rootfs_plan.NewFilesystem)
    assert {f"{key}={value}" if value else key for key, value in step.what.options} == set(data)
    wanted = {"ro": c.MOUNT_ATTR_RDONLY, "nosuid": c.MOUNT_ATTR_NOSUID, "nodev": c.MOUNT_ATTR_NODEV,
              "noexec": c.MOUNT_ATTR_NOEXEC}  # fmt: skip
    said = [flag for flag in flags if not (flag == "ro" and "rw" in flags[flags.index("ro") :])]
    said = [flag for flag in said if not (flag == "nosuid" and "suid" in flags[flags.index("nosuid") :])]
    assert step.what.attributes == sum(wanted.get(flag, 0) for flag in said)


@given(st.lists(st.sampled_from(["/a", "/a/b", "/b", "/c/"]), max_size=4))
def test_mounts_keep_the_specs_order(targets: list[str]) -> None:
    """A later mount may lie inside an earlier one: the order is the user's and part of the meaning."""
    plan = rootfs_plan.plan(spec(*(Mount(target, "tmpfs", "x") for target in targets)))
    assert [step.target for step in plan.mounts] == [target.rstrip("/") for target in targets]


def test_a_bind_mount_copies_a_tree() -> None:
    """Read-only is an attribute of the copy, and reaches the mounts below only when asked to."""
    step = only_step(Mount("/data", "bind", "/host/data", ("rbind", "ro", "rprivate")))
    assert step.what == rootfs_plan.CopyOfTree("/host/data", recursive=True, changes=Changes(c.MOUNT_ATTR_RDONLY))
    assert step.propagation == c.MS_PRIVATE | c.MS_REC
    recursive = only_step(Mount("/data", "bind", "/host/data", ("rbind", "rro"))).what
    assert isinstance(recursive, rootfs_plan.CopyOfTree)
    assert recursive.tree_changes == Changes(c.MOUNT_ATTR_RDONLY)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (spec(Mount("data", "tmpfs", "x")), "'data' is not an absolute path"),
        (spec(Mount("/x", "bind", "/y", ("size=1",))), "bind mount has no option 'size'"),
        (spec(root_propagation="sideways"), "unknown propagation 'sideways'"),
    ],
)
def test_nonsense_is_refused(bad: ContainerSpec, reason: str) -> None:
    """Before anything is mounted."""
    with pytest.raises(Invalid, match=reason):
        rootfs_plan.plan(bad)


def test_a_read_only_mount_with_others_inside_is_sealed_last() -> None:
    """Mount points must be made in it first: /sys/fs/cgroup on cgroup v1 is such a one."""
    plan = rootfs_plan.plan(
        spec(
            Mount("/sys/fs/cgroup", "tmpfs", "tmpfs", ("ro", "mode=755")),
            Mount("/sys/fs/cgroup/cpu", "bind", "/host", ("bind", "ro")),
            Mount("/lonely", "tmpfs", "tmpfs", ("ro",)),
        )
    )
    assert plan.sealed == ("/sys/fs/cgroup",)
    folder, group, lonely = (step.what for step in plan.mounts)
    assert isinstance(folder, rootfs_plan.NewFilesystem)
    assert isinstance(group, rootfs_plan.CopyOfTree)
    assert isinstance(lonely, rootfs_plan.NewFilesystem)
    assert (folder.attributes, group.changes.set, lonely.attributes) == (0, c.MOUNT_ATTR_RDONLY, c.MOUNT_ATTR_RDONLY)


def test_without_a_mount_namespace_nothing_is_mounted() -> None:
    """A mount would be the host's: plain chroot is all that is left."""
    plan = rootfs_plan.plan(spec(Mount("/proc", "proc", "proc"), namespaces=(), masked_paths=("/proc/kcore",)))
    assert (plan.own_namespace, plan.mounts, plan.masked) == (False, (), ())


def test_devices_are_made_only_in_a_dev_of_the_containers_own() -> None:
    """In an image's own /dev, or a bind of the host's, we make no nodes."""
    device = Device("/dev/null", "c", 1, 3)
    own = rootfs_plan.plan(spec(Mount("/dev", "tmpfs", "tmpfs"), devices=(device,)))
    assert [step.what.devices for step in own.mounts if isinstance(step.what, rootfs_plan.NewFilesystem)] == [
        (replace(device, path="null"),)
    ]
    assert own.devices == ()
    assert rootfs_plan.plan(spec(Mount("/dev", "bind", "/dev", ("bind",)), devices=(device,))).devices == ()
    assert rootfs_plan.plan(spec(devices=(device,))).devices == ()
    elsewhere = Device("/tmp/null", "c", 1, 3)
    assert rootfs_plan.plan(spec(devices=(elsewhere,))).devices == (elsewhere,)
    assert rootfs_plan.plan(spec(devices=(elsewhere,), namespaces=())).devices == ()


def test_everything_is_picked_up_before_the_pivot(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The security of it: by the time a path of the container is followed, the host is gone."""
    for name in ("fchdir", "chdir", "close"):
        monkeypatch.setattr(rootfs.os, name, lambda *args: None)
    kernel = RecordingKernel()
    plan = rootfs_plan.plan(
        spec(Mount("/proc", "proc", "proc"), Mount("/v", "bind", "/host/v", ("rbind", "ro")), masked_paths=())
    )
    maker = rootfs.RootfsMaker(kernel.door(), plan, str(tmp_path))
    maker.pick_up(7, "")
    maker.make_filesystems()
    maker.pivot()
    names = kernel.names()
    assert names[0] == "mount"  # propagation is cut before anything else
    last_pick = max(index for index, name in enumerate(names) if name in ("fsmount", "mount_setattr"))
    assert last_pick < names.index("pivot_root") < names.index("umount")
    assert ("umount", (".", c.MNT_DETACH)) in kernel.calls


def test_the_drivers_mount_itself_stays_detached() -> None:
    """The root is attached as a copy, where the kernel can: `docker cp` and a restart go on using the original."""
    kernel = RecordingKernel()
    assert rootfs._own_copy(kernel.door(), 7) != 7
    older = RecordingKernel(failures={"open_tree": 22})
    assert rootfs._own_copy(older.door(), 7) == 7


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (("noatime",), (c.MOUNT_ATTR_NOATIME, c.MOUNT_ATTR__ATIME)),
        (("noatime", "strictatime"), (c.MOUNT_ATTR_STRICTATIME, c.MOUNT_ATTR__ATIME)),
        (("noatime", "relatime"), (0, c.MOUNT_ATTR__ATIME)),
        (("ro", "rw"), (0, c.MOUNT_ATTR_RDONLY)),
        (("suid", "nosuid"), (c.MOUNT_ATTR_NOSUID, 0)),
    ],
)
def test_the_later_word_wins(words: tuple[str, ...], wanted: tuple[int, int]) -> None:
    """As with mount(8). Access times are one field to the kernel, which wants it cleared as a whole."""
    what = only_step(Mount("/x", "bind", "/y", ("bind", *words))).what
    assert isinstance(what, rootfs_plan.CopyOfTree)
    assert what.changes.for_setattr() == wanted


def test_a_shared_volume_is_picked_up_before_the_tie_is_cut(tmp_path: Path) -> None:
    """A copy made later would be a slave: what the container mounts in it would not show on the host."""
    kernel = RecordingKernel()
    steps = (Mount("/v", "bind", "/host/v", ("rbind", "rshared")), Mount("/w", "bind", "/host/w", ("rbind",)))
    rootfs.RootfsMaker(kernel.door(), rootfs_plan.plan(spec(*steps)), str(tmp_path)).pick_up(7, "")
    paths = [call[1][1] for call in kernel.calls if call[0] in ("open_tree", "mount")]
    assert paths == ["/host/v", "/", "/host/w", ""]


def test_in_a_user_namespace_devices_are_shown_not_made() -> None:
    """The kernel lets nobody but the machine's root make a device node."""
    plan = rootfs_plan.plan(
        spec(
            Mount("/dev", "tmpfs", "tmpfs"), namespaces=(MOUNT, Namespace("user")),
            devices=(Device("/dev/null", "c", 1, 3),),
        )
    )  # fmt: skip
    assert plan.devices == ()
    assert plan.mounts[-1] == rootfs_plan.MountStep(rootfs_plan.CopyOfTree("/dev/null", recursive=False), "/dev/null")


def test_a_file_system_that_cannot_be_made_ahead_is_missing_from_the_stock() -> None:
    """Whoever was born ahead may serve a container that does not need it; who needs it hears why."""
    kernel = RecordingKernel(failures={"fsmount": 1})
    assert rootfs.make_stock(kernel.door(), rootfs_plan.plan(spec(Mount("/proc", "proc", "proc")))) == {}

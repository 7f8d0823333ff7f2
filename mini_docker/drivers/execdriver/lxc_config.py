"""A container's spec in LXC's words: the lines of lxc.container.conf(5). Pure.

What LXC has a word for is said; what it has none for (a seccomp profile of Docker's form, an idmapped user
namespace) is left to the driver's table of walls, or refused.

Source: lxc.container.conf(5) of LXC 5.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator

from mini_docker.errors import Invalid, Unsupported
from mini_docker.libcontainer.config import ContainerSpec, Mount
from mini_docker.libcontainer.users import Identity

PAYLOAD, MONITOR = "payload", "monitor"
"""The groups, below the container's own, that LXC puts the container and its monitor into."""

_KEPT_NAMES = {"pid": "pid", "uts": "uts", "ipc": "ipc", "cgroup": "cgroup"}


def lxc_config(spec: ContainerSpec, rootfs: str, identity: Identity) -> str:
    """The text of the container's configuration file.

    Args:
        rootfs: where the root file system lies on the host.
        identity: the init process's user, looked up in the container's own files.

    Raises:
        Unsupported: the spec asks for what LXC, or this driver of it, does not do.
        Invalid: a value that the file's format has no way to say.
    """
    lines = []
    for key, value in _settings(spec, rootfs, identity):
        if "\n" in value or "\0" in value:
            raise Invalid(f"{key}: LXC's configuration cannot hold a line break: {value!r}")
        lines.append(f"{key} = {value}\n")
    return "".join(lines)


def _settings(spec: ContainerSpec, rootfs: str, identity: Identity) -> Iterator[tuple[str, str]]:
    process = spec.process
    kinds = {namespace.kind for namespace in spec.namespaces}
    if process.terminal:
        raise Unsupported("the lxc driver gives no terminal: LXC has a console for the container, none for its command")
    if "user" in kinds:
        raise Unsupported("the lxc driver makes no user namespaces")
    if any(namespace.path and namespace.kind != "network" for namespace in spec.namespaces):
        raise Unsupported("the lxc driver joins no namespaces of other containers, except networks")
    yield "lxc.rootfs.path", f"dir:{rootfs}"
    if spec.root_readonly:
        yield "lxc.rootfs.options", "ro"
    if spec.hostname:
        yield "lxc.uts.name", spec.hostname
    # The network is there already: lxc-execute is begun in it, so that cables can be laid before the start.
    yield "lxc.net.0.type", "none"
    kept = [name for kind, name in _KEPT_NAMES.items() if kind not in kinds]
    yield "lxc.namespace.keep", " ".join(["net", "user", *kept])
    yield "lxc.autodev", "0"
    yield "lxc.tty.max", "0"
    yield "lxc.console.path", "none"
    yield "lxc.cgroup.dir.container", f"{spec.cgroup}/{PAYLOAD}"
    yield "lxc.cgroup.dir.monitor", f"{spec.cgroup}/{MONITOR}"
    yield "lxc.apparmor.profile", process.apparmor_profile or "unconfined"
    yield from _process(spec, identity)
    yield from _mounts(spec)


def _process(spec: ContainerSpec, identity: Identity) -> Iterator[tuple[str, str]]:
    process = spec.process
    for word in process.env:
        yield "lxc.environment", word
    if not any(word.startswith("HOME=") for word in process.env):
        yield "lxc.environment", f"HOME={identity.home}"
    yield "lxc.init.cwd", process.cwd
    yield "lxc.init.uid", str(identity.uid)
    yield "lxc.init.gid", str(identity.gid)
    if identity.groups:
        yield "lxc.init.groups", ",".join(map(str, identity.groups))
    # "none" keeps none; an empty list would keep all.
    kept = [name.removeprefix("CAP_").lower() for name in process.capabilities.bounding]
    yield "lxc.cap.keep", " ".join(kept) or "none"
    if process.no_new_privileges:
        yield "lxc.no_new_privs", "1"
    if process.oom_score_adj is not None:
        yield "lxc.proc.oom_score_adj", str(process.oom_score_adj)
    for limit in process.rlimits:
        name = limit.kind.removeprefix("RLIMIT_").lower()
        yield f"lxc.prlimit.{name}", f"{_amount(limit.soft)}:{_amount(limit.hard)}"
    for key, value in spec.sysctls.items():
        yield f"lxc.sysctl.{key}", value


def _amount(value: int) -> str:
    return "unlimited" if value < 0 or value >= 2**63 else str(value)


MASKED_FOLDERS = frozenset(
    {"/proc/acpi", "/proc/asound", "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap"}
)
"""Of the paths that Docker masks, those that are folders on every kernel that has them: a file cannot cover them."""


def _mounts(spec: ContainerSpec) -> Iterator[tuple[str, str]]:
    # LXC protects /proc/sys and its kind in its own way; its words stand for the spec's masked and read-only paths.
    yield "lxc.mount.auto", "proc:mixed sys:ro"
    for mount in spec.mounts:
        if mount.destination in ("/proc", "/sys") or mount.type == "cgroup":
            continue
        yield "lxc.mount.entry", _entry(mount)
    for device in spec.devices:
        yield "lxc.mount.entry", _line(device.path, device.path, "none", ["bind", "optional", "create=file"])
    for path in spec.masked_paths:
        if path in MASKED_FOLDERS:
            yield "lxc.mount.entry", _line("tmpfs", path, "tmpfs", ["ro", "optional"])
        else:
            yield "lxc.mount.entry", _line("/dev/null", path, "none", ["bind", "optional"])


def _entry(mount: Mount) -> str:
    if mount.type == "bind":
        options = [word for word in mount.options if word not in ("bind", "rbind")]
        kind = "rbind" if "rbind" in mount.options else "bind"
        return _line(mount.source, mount.destination, "none", [kind, *options, "create=dir"])
    return _line(mount.source, mount.destination, mount.type, [*mount.options, "create=dir"])


def _line(source: str, destination: str, fstype: str, options: Iterable[str]) -> str:
    """A line of fstab(5): spaces are said in octal, and the target is relative to the root file system."""
    target = posixpath.normpath(destination).lstrip("/")
    return " ".join([_escaped(source), _escaped(target), fstype, ",".join(options), "0", "0"])


def _escaped(path: str) -> str:
    return path.replace("\\", "\\134").replace(" ", "\\040").replace("\t", "\\011")

"""config.json → a container's spec: the OCI's words in libcontainer's, each checked where it stands. Pure.

What the OCI lets a runtime ignore is ignored, what it lets it warn of becomes a warning, and whatever else cannot
be had is an error that names its place in the document. It opens no file and asks no kernel.

Source: OCI runtime specification 1.2, config.md and config-linux.md.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import Any

from mini_docker.dataclasses import dataclass, replace
from mini_docker.errors import Unsupported
from mini_docker.libcontainer.capabilities import CAPABILITIES
from mini_docker.libcontainer.config import (
    Capabilities,
    ContainerSpec,
    Device,
    Mount,
    Namespace,
    ProcessSpec,
    Rlimit,
    TimeOffset,
)
from mini_docker.libcontainer.mount_options import PROPAGATION, is_bind
from mini_docker.linux.id_mapping import IdMap
from mini_docker.runc.hooks import Hooks, decode_hooks
from mini_docker.runc.json_node import Node
from mini_docker.runc.oci_resources import decode_resources

OCI_VERSION = "1.2.0"
MAX_ID = 2**32 - 1

DEFAULT_DEVICES = tuple(
    Device(f"/dev/{name}", "c", major, minor)
    for name, major, minor in (
        ("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0),
    )
)  # fmt: skip
"""Nodes that every container has."""

_NAMESPACED_SYSCTLS = (
    "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall", "kernel.shmmax",
    "kernel.shmmni", "kernel.shm_rmid_forced",
)  # fmt: skip
_SETS = ("bounding", "effective", "inheritable", "permitted", "ambient")


@dataclass(frozen=True, slots=True)
class OciConfig:
    """A config.json, understood.

    Attributes:
        rootfs: the root file system's path, as written: relative to the bundle, or absolute.
        annotations: the user's own words, carried along.
        warnings: what was passed over, a sentence each.
    """

    spec: ContainerSpec
    rootfs: str
    hooks: Hooks
    annotations: dict[str, str]
    oci_version: str
    warnings: tuple[str, ...] = ()


def decode_config(document: Any, cgroup: str, grantable: Iterable[str] = CAPABILITIES) -> OciConfig:
    """Understand a config.json.

    Args:
        document: as `json.loads` gives it.
        cgroup: the cgroup to use where the document names none.
        grantable: the capabilities that this machine can give on; others become warnings.

    Raises:
        Invalid: something in it is wrong; the message names the place.
        Unsupported: something in it is right, and we cannot do it.
    """
    root = Node(document)
    version = _version(root)
    linux = root.get("linux") or Node({}, "linux")
    warnings: list[str] = []
    namespaces = tuple(_namespace(node) for node in linux.items("namespaces"))
    kinds = {namespace.kind for namespace in namespaces}
    # In a user namespace of its own a process has all capabilities, and outside of it none.
    process = decode_process(root.need("process"), CAPABILITIES if "user" in kinds else grantable, warnings)
    if len(kinds) < len(namespaces):
        linux.need("namespaces").complain("a type is listed twice")
    if "mount" not in kinds:
        linux.complain("a container needs a mount namespace for its root file system")
    for name, where in (("hostname", root), ("domainname", root)):
        if where.text_of(name) and "uts" not in kinds:
            where.need(name).complain("cannot be set without a UTS namespace of the container's own")
    maps = _id_maps(linux, "uidMappings"), _id_maps(linux, "gidMappings")
    _check_user_namespace(linux, namespaces, maps)
    for name in ("intelRdt", "personality"):
        _refuse(linux, name)
    rootfs = root.need("root")
    propagation = linux.get("rootfsPropagation")
    devices = tuple(_device(node) for node in linux.items("devices"))
    listed = {device.path for device in devices}
    spec = ContainerSpec(
        process=replace(process, seccomp=_seccomp(linux)),
        namespaces=namespaces,
        hostname=root.text_of("hostname"),
        domainname=root.text_of("domainname"),
        root_readonly=rootfs.boolean_of("readonly"),
        root_propagation=propagation.choice(*PROPAGATION) if propagation and propagation.value else "private",
        mounts=tuple(_mount(node, warnings) for node in root.items("mounts")),
        devices=(*(device for device in DEFAULT_DEVICES if device.path not in listed), *devices),
        masked_paths=tuple(node.absolute() for node in linux.items("maskedPaths")),
        readonly_paths=tuple(node.absolute() for node in linux.items("readonlyPaths")),
        sysctls=_sysctls(linux, kinds),
        uid_map=maps[0],
        gid_map=maps[1],
        time_offsets=_time_offsets(linux, namespaces),
        cgroup=_cgroup(linux, cgroup),
        resources=decode_resources(linux.get("resources") or Node({}, "linux.resources")),
        mount_label=linux.text_of("mountLabel"),
    )
    return OciConfig(
        spec,
        rootfs.need("path").text(),
        decode_hooks(root),
        {key: node.text() for key, node in root.fields("annotations").items()},
        version,
        tuple(warnings),
    )


def decode_process(node: Node, grantable: Iterable[str], warnings: list[str]) -> ProcessSpec:
    """The ``process`` object: of a config.json, or of its own for an exec.

    Args:
        warnings: takes a sentence for each thing that is passed over.
    """
    for name in ("scheduler", "ioPriority", "execCPUAffinity"):
        _refuse(node, name)
    args = node.texts("args")
    if not args or not args[0]:
        node.complain("args is empty: there is no command to run")
    user = node.get("user") or Node({}, f"{node.path}.user")
    uid, gid = user.integer_of("uid", 0, 0, MAX_ID), user.integer_of("gid", 0, 0, MAX_ID)
    umask = user.get("umask")
    size = node.get("consoleSize")
    oom = node.get("oomScoreAdj")
    sets = node.get("capabilities")
    return ProcessSpec(
        args=args,
        env=node.texts("env"),
        cwd=node.need("cwd").absolute(),
        user=f"{uid}:{gid}",
        additional_groups=tuple(str(item.integer(0, MAX_ID)) for item in user.items("additionalGids")),
        terminal=node.boolean_of("terminal"),
        rows=size.integer_of("height", 0, 0, 0xFFFF) if size else 0,
        columns=size.integer_of("width", 0, 0, 0xFFFF) if size else 0,
        capabilities=_capabilities(sets, frozenset(grantable), warnings) if sets else Capabilities(),
        keep_capabilities=True,
        rlimits=_rlimits(node),
        no_new_privileges=node.boolean_of("noNewPrivileges"),
        apparmor_profile=node.text_of("apparmorProfile"),
        selinux_label=node.text_of("selinuxLabel"),
        oom_score_adj=oom.integer(-1000, 1000) if oom else None,
        umask=umask.integer(0, 0o777) if umask else 0o022,
    )


def _version(root: Node) -> str:
    node = root.need("ociVersion")
    version = node.text()
    if not re.fullmatch(r"\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?", version):
        node.complain(f"{version!r} is not a version such as {OCI_VERSION}")
    if version.partition(".")[0] != OCI_VERSION.partition(".")[0]:
        node.complain(f"version {version} is not one of ours: {OCI_VERSION} and its older sisters")
    return version


def _refuse(node: Node, name: str) -> None:
    wish = node.get(name)
    if wish is not None and wish.value:
        raise Unsupported(f"{wish.path}: mini-runc does not do this")


def _namespace(node: Node) -> Namespace:
    kind = node.need("type").choice("pid", "network", "mount", "ipc", "uts", "user", "cgroup", "time")
    path = node.get("path")
    return Namespace(kind, path.absolute() if path and path.value else "")


def _id_maps(linux: Node, name: str) -> tuple[IdMap, ...]:
    return tuple(
        IdMap(*(item.need(field).integer(0, MAX_ID) for field in ("containerID", "hostID", "size")))
        for item in linux.items(name)
    )


def _check_user_namespace(
    linux: Node, namespaces: tuple[Namespace, ...], maps: tuple[tuple[IdMap, ...], tuple[IdMap, ...]]
) -> None:
    new = any(namespace.kind == "user" and not namespace.path for namespace in namespaces)
    if new and not all(maps):
        linux.complain("a new user namespace needs uidMappings and gidMappings")
    if any(maps) and not any(namespace.kind == "user" for namespace in namespaces):
        linux.complain("uidMappings and gidMappings need a user namespace")


def _time_offsets(linux: Node, namespaces: tuple[Namespace, ...]) -> tuple[TimeOffset, ...]:
    offsets = []
    for clock, node in linux.fields("timeOffsets").items():
        if clock not in ("monotonic", "boottime"):
            node.complain("the clocks of a time namespace are monotonic and boottime")
        if Namespace("time") not in namespaces:
            node.complain("needs a new time namespace")
        offsets.append(TimeOffset(clock, node.integer_of("secs"), node.integer_of("nanosecs", 0, 0, 10**9 - 1)))
    return tuple(offsets)


def _mount(node: Node, warnings: list[str]) -> Mount:
    destination = node.need("destination").text()
    if not destination.startswith("/"):
        warnings.append(f"{node.path}.destination: {destination!r} is relative: taken from the root")
        destination = "/" + destination
    mount = Mount(destination, node.text_of("type"), node.text_of("source"), node.texts("options"))
    for name in ("uidMappings", "gidMappings"):
        _refuse(node, name)
    if is_bind(mount):
        if not mount.source:
            node.complain("a bind mount needs a source")
        return replace(mount, type="bind")
    if not mount.type:
        node.complain("type is missing, and no option says bind")
    return mount


def _device(node: Node) -> Device:
    kind = node.need("type").choice("c", "b", "u", "p")
    major, minor = 0, 0
    if kind != "p":
        major, minor = (node.need(name).integer(0, 2**32 - 1) for name in ("major", "minor"))
    return Device(
        node.need("path").absolute(),
        "c" if kind == "u" else kind,
        major,
        minor,
        # Docker writes the kind of file along with its permissions.
        node.integer_of("fileMode", 0o666, 0, 2**32 - 1) & 0o7777,
        node.integer_of("uid", 0, 0, MAX_ID),
        node.integer_of("gid", 0, 0, MAX_ID),
    )


def _seccomp(linux: Node) -> dict[str, Any] | None:
    """The filter's profile as it stands: the seccomp compiler reads this form itself."""
    node = linux.get("seccomp")
    if node is None:
        return None
    node.need("defaultAction").text()
    profile: dict[str, Any] = node.value
    return profile


def _capabilities(node: Node, grantable: frozenset[str], warnings: list[str]) -> Capabilities:
    sets: dict[str, tuple[str, ...]] = {}
    for name in _SETS:
        wished = node.texts(name)
        missing = [word for word in wished if word not in grantable]
        if missing:
            warnings.append(f"{node.path}.{name}: this machine cannot give {', '.join(missing)}")
        sets[name] = tuple(word for word in wished if word in grantable)
    # The kernel lets a capability be ambient only while it is permitted and inheritable. Engines list it anyway, and
    # every runtime passes it over.
    possible = {*sets["permitted"]} & {*sets["inheritable"]}
    sets["ambient"] = tuple(word for word in sets["ambient"] if word in possible)
    return Capabilities(**sets)


def _rlimits(process: Node) -> tuple[Rlimit, ...]:
    limits: dict[str, Rlimit] = {}
    for node in process.items("rlimits"):
        kind = node.need("type").text()
        if not re.fullmatch(r"RLIMIT_[A-Z]+", kind):
            node.complain(f"{kind!r} is not a limit such as RLIMIT_NOFILE")
        if kind in limits:
            node.complain(f"{kind} is listed twice")
        soft, hard = (node.need(name).integer(0, 2**64 - 1) for name in ("soft", "hard"))
        if soft > hard:
            node.complain(f"the soft limit {soft} is above the hard limit {hard}")
        limits[kind] = Rlimit(kind, soft, hard)
    return tuple(limits.values())


def _sysctls(linux: Node, kinds: set[str]) -> dict[str, str]:
    """The kernel's variables; only those that belong to a namespace of the container's own may be set."""
    sysctls = {}
    for name, node in linux.fields("sysctl").items():
        dotted = name.replace("/", ".")
        if dotted.startswith("net."):
            owner = "network"
        elif dotted.startswith("fs.mqueue.") or dotted in _NAMESPACED_SYSCTLS:
            owner = "ipc"
        elif dotted in ("kernel.domainname", "kernel.hostname"):
            owner = "uts"
        else:
            node.complain("not in a separate kernel namespace: it would be the whole machine's")
        if owner not in kinds:
            node.complain(f"cannot be set without a namespace of type {owner}")
        sysctls[dotted] = node.text()
    return sysctls


def _cgroup(linux: Node, default: str) -> str:
    node = linux.get("cgroupsPath")
    if node is None or not node.value:
        return default
    path = os.path.normpath("/" + node.text()).strip("/")
    if not path or ".." in node.value.split("/"):
        node.complain(f"{node.value!r} names no cgroup below the root")
    return path

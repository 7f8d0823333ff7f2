"""From an order to libcontainer's spec: Docker's rules, without root."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mini_docker.daemon.container.config import ContainerConfig
from mini_docker.daemon.container.host_config import HostConfig
from mini_docker.daemon.container.mount_point import MountPoint
from mini_docker.daemon.container.mounts import parse_bind, plan_mounts
from mini_docker.daemon.container.security import SecurityOptions
from mini_docker.daemon.container.spec import Surroundings, container_spec, environment, merge_environment
from mini_docker.errors import Invalid
from mini_docker.libcontainer.config import Capabilities, ContainerSpec, Device, DeviceRule, from_json, to_json

ID = "0123456789ab" + "c" * 52
WORLD = Surroundings(
    cgroup_version=1, host_name="hosty", system_files={"/etc/hosts": "/c/hosts"}, seccomp={"defaultAction": "x"},
    capabilities=Capabilities(bounding=("CAP_CHOWN",)),
)  # fmt: skip


def spec(
    host: dict[str, Any] | None = None, mounts: tuple[MountPoint, ...] = (), world: Surroundings = WORLD, **config: Any
) -> ContainerSpec:
    order = ContainerConfig.from_json({"Cmd": ["sh"], **config})
    return container_spec(
        ID, order, HostConfig.from_json(host or {}).with_defaults(world.cgroup_version), mounts, world
    )


def kinds(of: ContainerSpec) -> set[str]:
    return {namespace.kind for namespace in of.namespaces}


MODES = st.fixed_dictionaries(
    {},
    optional={
        "NetworkMode": st.sampled_from(["bridge", "host", "none", "mine"]),
        "PidMode": st.sampled_from(["", "host"]),
        "IpcMode": st.sampled_from(["", "host", "none", "private", "shareable"]),
        "UTSMode": st.sampled_from(["", "host"]),
        "CgroupnsMode": st.sampled_from(["", "host", "private"]),
        "Privileged": st.booleans(),
        "ReadonlyRootfs": st.booleans(),
        "Tmpfs": st.dictionaries(st.sampled_from(["/t", "/dev/shm", "/run"]), st.sampled_from(["", "exec,size=1m"])),
        "Binds": st.lists(st.sampled_from(["/h:/a", "/h:/b/c:ro", "/h:/dev/mqueue", "/h:/etc/hosts"]), unique=True),
        "NanoCpus": st.integers(0, 10**9),
        "PidsLimit": st.none() | st.integers(-1, 100),
    },
)


@settings(max_examples=100)
@given(MODES)
def test_spec_invariants(host: dict[str, Any]) -> None:
    """Whatever is ordered: it crosses to the supervisor unchanged, mounts are unique and a parent comes before its
    child, the host's names and hierarchy are never touched."""
    binds = {parse_bind(word).destination for word in host.get("Binds", ())}
    if binds & set(host.get("Tmpfs", ())):
        return
    order = HostConfig.from_json(host)
    made = spec(host, plan_mounts(ContainerConfig(), order, lambda name: ()))
    assert from_json(ContainerSpec, to_json(made)) == made
    places = [mount.destination for mount in made.mounts]
    assert len(places) == len(set(places))
    for index, place in enumerate(places):
        assert not any(below.startswith(place + "/") for below in places[:index]), places
    assert "mount" in kinds(made) and made.cgroup.endswith(f"/{ID}")
    assert ("pid" in kinds(made)) == (host.get("PidMode") != "host")
    if host.get("UTSMode") == "host":
        assert made.hostname == ""
    privileged = host.get("Privileged", False)
    assert bool(made.masked_paths) == (not privileged) and (made.process.seccomp is None) == privileged
    assert made.resources.devices[0] == DeviceRule(privileged)
    sysfs = next(mount for mount in made.mounts if mount.destination == "/sys")
    assert ("ro" in sysfs.options) != privileged


def test_default_mounts_are_dockers() -> None:
    """proc, dev, pts, sys, cgroup, mqueue, shm, and the files of the network."""
    made = {mount.destination: mount for mount in spec().mounts}
    assert list(made) == [
        "/proc", "/dev", "/dev/pts", "/sys", "/sys/fs/cgroup", "/dev/mqueue", "/dev/shm", "/etc/hosts",
    ]  # fmt: skip
    assert "size=65536k" in made["/dev"].options and "size=67108864" in made["/dev/shm"].options
    assert made["/etc/hosts"].source == "/c/hosts"


def test_namespaces_by_mode() -> None:
    """New ones, the host's, another container's; the cgroup namespace is the host's on v1 and private on v2."""
    assert kinds(spec()) == {"mount", "pid", "ipc", "uts", "network"}
    assert "cgroup" in kinds(spec(world=Surroundings(cgroup_version=2)))
    assert "network" not in kinds(spec({"NetworkMode": "host"}))
    joined = spec({"NetworkMode": "container:x"}, world=Surroundings(joined={"network": "/proc/7/ns/net"}))
    assert [one.path for one in joined.namespaces if one.kind == "network"] == ["/proc/7/ns/net"]


def test_hostname() -> None:
    """Its own, its short id, or the host's when it shares the host's network."""
    assert spec().hostname == ID[:12] and spec(Hostname="box").hostname == "box"
    assert spec({"NetworkMode": "host"}).hostname == "hosty"


def test_environment_in_dockers_order() -> None:
    """PATH, HOSTNAME, TERM on a terminal, links, the config's own; a bare name removes a variable."""
    config = ContainerConfig(env=("A=1", "PATH=/bin", "GONE"), tty=True)
    assert environment(config, "box", ("GONE=1", "DB=2")) == (
        "PATH=/bin", "HOSTNAME=box", "TERM=xterm", "DB=2", "A=1",
    )  # fmt: skip


@settings(max_examples=50)
@given(*[st.lists(st.sampled_from(["A=1", "A=2", "B=1", "A", "B", "C=3"]))] * 2)
def test_merge_environment_law(base: list[str], later: list[str]) -> None:
    """The last word about a name is the one that holds, and no name comes twice."""
    merged = merge_environment(base, later)
    last = {word.partition("=")[0]: word for word in (*base, *later)}
    assert {word.partition("=")[0]: word for word in merged} == {k: v for k, v in last.items() if "=" in v}


def test_resources() -> None:
    """--cpus is a quota of 100 ms periods, memory alone doubles as swap, no pids limit is unlimited."""
    made = spec({"NanoCpus": 500_000_000, "Memory": 64 << 20, "PidsLimit": 0}).resources
    assert (made.cpu_quota_us, made.cpu_period_us) == (50_000, 100_000)
    assert made.memory_swap_bytes == 128 << 20 and made.pids == -1
    assert spec({"PidsLimit": 32}).resources.pids == 32 and spec().resources.pids == 0


def test_devices() -> None:
    """A granted device is a node and a rule; rules are read as the cgroup file has them."""
    kvm = Device("/dev/kvm", "c", 10, 232)
    made = spec({"DeviceCgroupRules": ["c 189:* rwm"]}, world=Surroundings(devices=((kvm, "rw"),)))
    assert kvm in made.devices
    assert made.resources.devices[-2:] == (
        DeviceRule(True, "c", 10, 232, "rw"), DeviceRule(True, "c", 189, -1, "rwm"),
    )  # fmt: skip
    with pytest.raises(Invalid, match="invalid device cgroup rule"):
        spec({"DeviceCgroupRules": ["everything"]})


def test_sysctls_must_be_namespaced() -> None:
    """A sysctl that is the whole host's, or of a namespace that is shared with it, is refused."""
    assert spec({"Sysctls": {"net.ipv4.ip_forward": "1"}}).sysctls == {"net.ipv4.ip_forward": "1"}
    for host in (
        {"Sysctls": {"kernel.panic": "1"}},
        {"Sysctls": {"net.ipv4.ip_forward": "1"}, "NetworkMode": "host"},
        {"Sysctls": {"kernel.msgmax": "1"}, "IpcMode": "host"},
    ):
        with pytest.raises(Invalid, match="sysctl"):
            spec(host)


def test_security_options() -> None:
    """no-new-privileges in its spellings, seccomp by profile or not at all; an unknown word is refused."""
    for word in ("no-new-privileges", "no-new-privileges=true", "no-new-privileges:true"):
        assert SecurityOptions.parse([word]).no_new_privileges
    assert spec({"SecurityOpt": ["seccomp=unconfined"]}).process.seccomp is None
    assert spec({"SecurityOpt": ['seccomp={"a":1}']}).process.seccomp == {"a": 1}
    for word in ("nonsense", "color=red", "seccomp={"):
        with pytest.raises(Invalid):
            SecurityOptions.parse([word])


def bind(source: str, propagation: str = "rprivate", **fields: Any) -> MountPoint:
    return MountPoint("bind", "/c", source=source, copy_up=False, propagation=propagation, **fields)


@pytest.mark.parametrize(
    ("text", "point"),
    [
        ("/h:/c", bind("/h")),
        ("/h/../i:/c/:ro", bind("/i", mode="ro", rw=False)),
        ("/h:/c:rshared,z", bind("/h", mode="rshared,z", propagation="rshared")),
        ("data:/c:nocopy", MountPoint("volume", "/c", name="data", driver="local", mode="nocopy", copy_up=False)),
        ("/c", MountPoint("volume", "/c", driver="local")),
    ],
)  # fmt: skip
def test_binds(text: str, point: MountPoint) -> None:
    """-v in its forms."""
    assert parse_bind(text) == point


@pytest.mark.parametrize("text", ["", ":", "a:b", "/h:/", "/h:c", "/h:/c:fast", "/h:/c:ro,rw", "x:/c", "/a:/b:ro:/d"])
def test_bad_binds(text: str) -> None:
    """-v in forms it does not have."""
    with pytest.raises(Invalid):
        parse_bind(text)


def test_mounts_of_an_order() -> None:
    """A said mount replaces VOLUME and --volumes-from at its place; saying one place twice is refused."""
    config = ContainerConfig(volumes={"/data": {}, "/more": {}})
    host = HostConfig.from_json({"Binds": ["/h:/data"], "VolumesFrom": ["other:ro"]})
    inherited = [MountPoint("volume", "/old", name="v", source="/s"), MountPoint("volume", "/data", name="w")]
    planned = {point.destination: point for point in plan_mounts(config, host, lambda name: inherited)}
    assert planned["/data"].type == "bind" and planned["/more"].type == "volume" and not planned["/old"].rw
    with pytest.raises(Invalid, match="Duplicate mount point: /a"):
        plan_mounts(config, HostConfig.from_json({"Binds": ["/h:/a"], "Tmpfs": {"/a": ""}}), lambda name: ())


def test_tmpfs_options_later_word_wins() -> None:
    """--tmpfs /t:exec takes noexec away, the other defaults stay."""
    points = plan_mounts(ContainerConfig(), HostConfig.from_json({"Tmpfs": {"/t": "exec,size=1m"}}), lambda name: ())
    mount = next(mount for mount in spec(mounts=points).mounts if mount.destination == "/t")
    assert mount.options == ("nosuid", "nodev", "exec", "size=1m")

"""config.json, understood or refused: every error names its place, and nothing but an error comes of nonsense."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mini_docker.errors import Invalid, Unsupported
from mini_docker.libcontainer import namespaces, rootfs_plan
from mini_docker.libcontainer.config import DeviceRule, Namespace
from mini_docker.linux.id_mapping import IdMap
from mini_docker.runc.oci import OciConfig, decode_config
from mini_docker.runc.template import example_config
from tests.runc.runc_bench import RuncBench


def rich_config() -> dict[str, Any]:
    """A config with something in every part that we understand."""
    config = example_config()
    config["process"].update(
        user={"uid": 1, "gid": 2, "umask": 0o27, "additionalGids": [3]}, oomScoreAdj=10, apparmorProfile="p",
        consoleSize={"height": 25, "width": 80},
    )  # fmt: skip
    config["mounts"].append(
        {"destination": "/data", "type": "bind", "source": "data", "options": ["rbind", "ro", "rslave"]}
    )
    config["annotations"] = {"a": "b"}
    config["hooks"] = {"prestart": [{"path": "/bin/true", "args": ["true"], "env": ["A=b"], "timeout": 5}]}
    config["linux"].update(
        devices=[{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 438, "uid": 0, "gid": 0}],
        cgroupsPath="/a/b", rootfsPropagation="slave", sysctl={"net.ipv4.ip_forward": "1"},
        seccomp={"defaultAction": "SCMP_ACT_ALLOW"},
        resources={
            "devices": [{"allow": True, "type": "c", "major": 10, "minor": 229, "access": "rw"}],
            "memory": {"limit": 1 << 20, "swap": -1, "swappiness": 10},
            "cpu": {"shares": 512, "quota": 1000, "period": 2000, "cpus": "0"},
            "pids": {"limit": 10},
            "blockIO": {"weight": 100, "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1}]},
            "hugepageLimits": [{"pageSize": "2MB", "limit": 1}],
        },
    )  # fmt: skip
    return config


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value in a document."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inside:
        yield (*path, key)
        yield from places(item, (*path, key))


junk = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@st.composite
def broken_configs(draw: st.DrawFn) -> Any:
    """A good config in which a few values are something else, or missing."""
    config = copy.deepcopy(rich_config())
    for _ in range(draw(st.integers(1, 3))):
        *way, last = draw(st.sampled_from(sorted(places(config), key=repr)))
        parent = config
        for key in way:
            parent = parent[key]
        if draw(st.booleans()) and isinstance(parent, dict):
            del parent[last]
        else:
            parent[last] = draw(junk)
    return config


@settings(max_examples=300, deadline=None)
@given(broken_configs() | junk)
def test_nonsense_is_refused_by_name(document: Any) -> None:
    """Understood, or refused with an error of ours: never a stack trace, and never half understood."""
    try:
        config = decode_config(document, "box")
        rootfs_plan.plan(config.spec)
        namespaces.plan(config.spec)
    except (Invalid, Unsupported) as error:
        assert str(error)
    else:
        assert isinstance(config, OciConfig)
        assert config.spec.process.args
        assert config.spec.cgroup


@pytest.mark.parametrize(
    ("way", "value", "message"),
    [
        (("ociVersion",), None, "the document: ociVersion is missing"),
        (("ociVersion",), "9.0.0", "ociVersion: version 9.0.0 is not one of ours"),
        (("process", "args", 0), 5, r"process\.args\[0\]: expected a string, got an integer"),
        (("process", "args"), [], "process: args is empty"),
        (("process", "cwd"), "tmp", "process.cwd: 'tmp' is not an absolute path"),
        (("process", "env", 0), "A=\0", r"process\.env\[0\]: a NUL character"),
        (("process", "user", "uid"), -1, "process.user.uid: -1 is not between 0 and"),
        (("process", "user", "uid"), True, "process.user.uid: expected an integer, got true or false"),
        (("process", "rlimits", 0, "soft"), 9999, r"process\.rlimits\[0\]: the soft limit 9999 is above"),
        (("process", "rlimits", 0, "type"), "NOFILE", r"process\.rlimits\[0\]: 'NOFILE' is not a limit"),
        (("process", "ioPriority"), {"class": "IOPRIO_CLASS_RT"}, "process.ioPriority: mini-runc does not do this"),
        (("linux", "namespaces", 0, "type"), "pids", r"linux\.namespaces\[0\]\.type: 'pids' is none of pid, network"),
        (("linux", "namespaces", 1), {"type": "pid"}, "linux.namespaces: a type is listed twice"),
        (("linux", "namespaces"), [{"type": "pid"}], "a container needs a mount namespace"),
        (("linux", "namespaces"), [{"type": "mount"}, {"type": "user"}], "hostname: cannot be set without a UTS"),
        (("linux", "uidMappings"), [{"containerID": 0, "hostID": 1, "size": 1}], "need a user namespace"),
        (("linux", "sysctl"), {"kernel.panic": "1"}, "linux.sysctl.kernel.panic: not in a separate kernel namespace"),
        (("linux", "devices", 0, "type"), "x", r"linux\.devices\[0\]\.type: 'x' is none of c, b, u, p"),
        (("linux", "resources", "memory", "swappiness"), 101, "swappiness: 101 is not between 0 and 100"),
        (("linux", "resources", "unified"), {"memory.high": "1"}, "linux.resources.unified: mini-runc does not"),
        (("linux", "maskedPaths", 0), "proc", r"linux\.maskedPaths\[0\]: 'proc' is not an absolute path"),
        (("linux", "cgroupsPath"), "../up", "linux.cgroupsPath: '../up' names no cgroup below the root"),
        (("linux", "rootfsPropagation"), "up", "linux.rootfsPropagation: 'up' is none of"),
        (("mounts", -1, "source"), "", "a bind mount needs a source"),
        (("hooks", "prestart", 0, "path"), "true", r"hooks\.prestart\[0\]\.path: 'true' is not an absolute path"),
        (("hooks", "prestart", 0, "timeout"), 0, r"timeout: 0 is not between 1 and"),
    ],
)
def test_the_error_names_the_place(way: tuple[Any, ...], value: Any, message: str) -> None:
    """Whoever wrote the config must find what to change."""
    config = rich_config()
    parent: Any = config
    for key in way[:-1]:
        parent = parent[key]
    parent[way[-1]] = value
    with pytest.raises((Invalid, Unsupported), match=message):
        decode_config(config, "box")


def test_a_good_config_is_understood() -> None:
    """In libcontainer's words."""
    config = decode_config(rich_config(), "box")
    spec = config.spec
    assert (spec.process.user, spec.process.additional_groups, spec.process.umask) == ("1:2", ("3",), 0o27)
    assert (spec.cgroup, spec.root_propagation, spec.root_readonly) == ("a/b", "slave", True)
    assert spec.resources.devices[:2] == (DeviceRule(False), DeviceRule(True, "c", 10, 229, "rw"))
    assert [device.path for device in spec.devices][-2:] == ["/dev/tty", "/dev/fuse"]
    assert spec.process.seccomp == {"defaultAction": "SCMP_ACT_ALLOW"}
    assert config.hooks.prestart[0].timeout_seconds == 5
    assert config.warnings == ()


def test_what_is_absent_and_what_is_null_are_the_same() -> None:
    """Engines written in Go write null for what they leave out."""
    config = rich_config()
    for part in ("hooks", "annotations", "mounts"):
        config[part] = None
    config["linux"].update(resources=None, seccomp=None, devices=None, sysctl=None)
    config["process"].update(rlimits=None, oomScoreAdj=None)
    assert decode_config(config, "box").spec.mounts == ()


def test_capabilities_that_cannot_be_had_become_warnings() -> None:
    """So the specification has it; and ambient ones must be inheritable."""
    config = rich_config()
    config["process"]["capabilities"] = {
        "bounding": ["CAP_KILL", "CAP_FLY"], "permitted": ["CAP_KILL"], "inheritable": [], "ambient": ["CAP_KILL"],
    }  # fmt: skip
    understood = decode_config(config, "box", ("CAP_KILL",))
    assert understood.spec.process.capabilities.bounding == ("CAP_KILL",)
    assert understood.spec.process.capabilities.ambient == ()
    assert understood.warnings == ("process.capabilities.bounding: this machine cannot give CAP_FLY",)


def test_a_user_namespace() -> None:
    """Id maps, and every capability: they count inside only."""
    config = rich_config()
    config["linux"]["namespaces"].append({"type": "user"})
    config["linux"].update(
        {name: [{"containerID": 0, "hostID": 1000, "size": 10}] for name in ("uidMappings", "gidMappings")}
    )
    config["process"]["capabilities"] = {"bounding": ["CAP_SYS_ADMIN"]}
    spec = decode_config(config, "box", ()).spec
    assert spec.uid_map == spec.gid_map == (IdMap(0, 1000, 10),)
    assert Namespace("user") in spec.namespaces
    assert spec.process.capabilities.bounding == ("CAP_SYS_ADMIN",)


@pytest.mark.root
@pytest.mark.parametrize(
    "document",
    [
        b"", b"{", b"[]", b"null", b'{"ociVersion": "1.0.2"}', b"[" * 100000,
        b'{"ociVersion": "1.0.2", "process": {"args": ["x"], "cwd": "/"}, "root": {"path": "nowhere"},'
        b' "linux": {"namespaces": [{"type": "mount"}]}}',
    ],
)  # fmt: skip
def test_a_broken_bundle_leaves_nothing(mini_runc: RuncBench, document: bytes) -> None:
    """Exit code 1, one sentence, no state folder and no cgroup."""
    path = mini_runc.folder / "bundle"
    path.mkdir()
    (path / "config.json").write_bytes(document)
    for command in ("create", "run"):
        done = mini_runc.call(command, "--bundle", str(path), "x")
        assert done.returncode == 1
        assert done.stderr.count(b"\n") == 1, done.stderr
        assert b"level=error" in done.stderr
    assert mini_runc.good("list", "--quiet") == b""


@pytest.mark.root
@pytest.mark.parametrize(
    ("way", "value"),
    [
        (("mounts", 0, "type"), "nosuchfs"),
        (("mounts", 0, "options"), ["nosuchoption"]),
        (("linux", "namespaces", 0, "path"), "/proc/1/ns/net"),
        (("linux", "resources", "cpu"), {"cpus": "999"}),
        (("linux", "seccomp"), {"defaultAction": "SCMP_ACT_DANCE"}),
        (("process", "cwd"), "/etc/passwd/x"),
    ],
)
def test_what_the_kernel_refuses_leaves_nothing(mini_runc: RuncBench, way: tuple[Any, ...], value: Any) -> None:
    """However far the birth had come. (The first namespace is the pid one: a network's file is not its kind.)"""
    config = mini_runc.config("true")
    parent: Any = config
    for key in way[:-1]:
        parent = parent.setdefault(key, {}) if isinstance(parent, dict) else parent[key]
    parent[way[-1]] = value
    done = mini_runc.run(config)
    assert done.returncode == 1
    assert done.stderr.count(b"\n") == 1, done.stderr
    assert mini_runc.good("list", "--quiet") == b""

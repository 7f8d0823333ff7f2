"""Orders: decoding, defaults, merging with an image, what is refused and in which words."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mini_docker import dataclasses
from mini_docker.daemon.container import api_json
from mini_docker.daemon.container.config import ContainerConfig, CreateOrder, fill_env
from mini_docker.daemon.container.host_config import HostConfig
from mini_docker.daemon.container.mounts import plan_mounts
from mini_docker.daemon.container.ports import port_bindings
from mini_docker.daemon.container.spec import Surroundings, container_spec
from mini_docker.errors import Invalid

WORD = st.text("abcxyz019_-", min_size=1, max_size=6)
COMMAND = st.none() | st.lists(WORD, max_size=3).map(tuple)
ENV = st.lists(st.builds("{}={}".format, WORD, WORD), max_size=4, unique_by=lambda word: word.split("=")[0]).map(tuple)
CONFIG = st.builds(
    ContainerConfig,
    hostname=WORD | st.just(""),
    user=WORD | st.just(""),
    tty=st.booleans(),
    open_stdin=st.booleans(),
    env=ENV,
    cmd=COMMAND,
    entrypoint=COMMAND,
    labels=st.dictionaries(WORD, WORD, max_size=3),
    exposed_ports=st.dictionaries(st.sampled_from(["80/tcp", "53/udp"]), st.just({})),
    volumes=st.dictionaries(WORD.map("/{}".format), st.just({}), max_size=2),
    working_dir=st.just("") | WORD.map("/{}".format),
    stop_timeout=st.none() | st.integers(0, 60),
)


@settings(max_examples=60)
@given(CONFIG)
def test_config_round_trip(config: ContainerConfig) -> None:
    """What is written is read back, but that an empty command and none are one thing on the wire, as in Go."""
    again = ContainerConfig.from_json(json.loads(json.dumps(config.to_json())))
    assert again.to_json() == config.to_json()
    assert again.command == config.command and again.env == config.env and again.stop_timeout == config.stop_timeout


@settings(max_examples=60)
@given(CONFIG, CONFIG)
def test_merge_laws(ours: ContainerConfig, image: ContainerConfig) -> None:
    """Ours wins, the image fills gaps; and the image's command never runs under an entrypoint of ours."""
    merged = ours.merge(image)
    assert merged.labels == {**image.labels, **ours.labels}
    assert merged.user == (ours.user or image.user)
    assert set(merged.env) >= set(ours.env) and merged.env[: len(ours.env)] == ours.env
    names = [word.split("=")[0] for word in merged.env]
    assert len(names) == len(set(names))
    if ours.entrypoint:
        assert merged.command == ours.entrypoint + (ours.cmd or ())
    elif ours.cmd:
        assert merged.cmd == ours.cmd
    assert merged.merge(image) == merged or ours.entrypoint is not None


@pytest.mark.parametrize(
    ("ours", "image", "runs"),
    [
        ({}, {"Entrypoint": ["e"], "Cmd": ["c"]}, ("e", "c")),
        ({"Cmd": ["x"]}, {"Entrypoint": ["e"], "Cmd": ["c"]}, ("e", "x")),
        ({"Entrypoint": ["x"]}, {"Entrypoint": ["e"], "Cmd": ["c"]}, ("x",)),
        ({"Entrypoint": [""], "Cmd": ["x"]}, {"Entrypoint": ["e"], "Cmd": ["c"]}, ("x",)),
        ({"Entrypoint": "x", "Cmd": "y"}, {}, ("x", "y")),
    ],
)
def test_command_rules(ours: dict[str, Any], image: dict[str, Any], runs: tuple[str, ...]) -> None:
    """Docker's table of entrypoint and command, the one that users trip over."""
    merged = ContainerConfig.from_json(ours).merge(ContainerConfig.from_json(image))
    assert merged.command == runs


def test_fill_env_keeps_dockers_order() -> None:
    """Ours first, then what only the image has."""
    assert fill_env(("A=1", "B=1"), ("B=2", "C=2")) == ("B=2", "C=2", "A=1")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "Config cannot be empty"),
        (b"{}", "Config cannot be empty"),
        (b"nonsense", "invalid JSON"),
        (b"[1]", "must be an object"),
        (b'{"Env": "A=1"}', "Env: expected a list, got a string"),
        (b'{"Env": [1]}', r"Env\[0\]: expected a string"),
        (b'{"Tty": "yes"}', "Tty: expected a boolean"),
        (b'{"Env": ["A=\\u0000"]}', "NUL byte"),
        (b'{"Cmd": ["\\ud800"]}', "not a text that can be executed"),
        (b'{"WorkingDir": "srv"}', "needs to be an absolute path"),
        (b'{"ExposedPorts": {"x": {}}}', "invalid port specification: 'x'"),
        (b'{"ExposedPorts": {"70000/tcp": {}}}', "invalid port specification"),
        (b'{"ExposedPorts": {"80-81/tcp": {}}}', "one port, not a range"),
        (b'{"Image": "x", "HostConfig": {"Memory": 1}}', "Minimum memory limit allowed is 6MB"),
        (b'{"Image": "x", "HostConfig": {"Memory": "1g"}}', "HostConfig.Memory: expected a whole number"),
        (b'{"Image": "x", "HostConfig": {"MemorySwap": 99999999}}', "always set the Memory limit"),
        (b'{"Image": "x", "HostConfig": {"NanoCpus": 1, "CpuQuota": 5000}}', "Conflicting options"),
        (b'{"Image": "x", "HostConfig": {"RestartPolicy": {"Name": "often"}}}', "invalid restart policy 'often'"),
        (
            b'{"Image": "x", "HostConfig": {"RestartPolicy": {"Name": "always", "MaximumRetryCount": 1}}}',
            "maximum retry",
        ),
        (b'{"Image": "x", "HostConfig": {"AutoRemove": true, "RestartPolicy": {"Name": "always"}}}', "AutoRemove"),
        (b'{"Image": "x", "HostConfig": {"PortBindings": {"99999/tcp": []}}}', "invalid port specification"),
        (b'{"Image": "x", "HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": "x"}]}}}', "invalid port"),
        (b'{"Image": "x", "NetworkingConfig": {"EndpointsConfig": {"n": 5}}}', "EndpointsConfig.n: expected an object"),
    ],
)
def test_bad_orders_name_the_field(body: bytes, words: str) -> None:
    """A wrong order is refused with the name of what is wrong in it."""
    with pytest.raises(Invalid, match=words):
        CreateOrder.decode(body)


def test_null_is_the_default() -> None:
    """Go clients write null for what they do not say."""
    order = CreateOrder.decode(b'{"Image":"x","Env":null,"Labels":null,"HostConfig":{"Binds":null,"Memory":null}}')
    assert order.config.env == () and order.host_config.binds == () and order.host_config.memory == 0


def test_host_config_defaults_are_dockers() -> None:
    """``docker inspect`` of a plain container."""
    form = HostConfig.from_json({"Memory": 64 << 20}).with_defaults(cgroup_version=1).to_json()
    assert form["NetworkMode"] == "default" and form["CgroupnsMode"] == "host" and form["IpcMode"] == "private"
    assert form["MemorySwap"] == 128 << 20 and form["ShmSize"] == 64 << 20
    assert form["LogConfig"] == {"Type": "json-file", "Config": {}} and form["PidsLimit"] is None
    assert form["RestartPolicy"] == {"Name": "no", "MaximumRetryCount": 0} and form["ConsoleSize"] == [0, 0]
    assert "/proc/kcore" in form["MaskedPaths"] and "/proc/sys" in form["ReadonlyPaths"]
    assert HostConfig.from_json(form).to_json() == form
    assert HostConfig().with_defaults(cgroup_version=2).cgroupns_mode == "private"
    assert HostConfig(privileged=True).to_json()["MaskedPaths"] == []


@dataclasses.dataclass(frozen=True, slots=True)
class Sheet:
    words: tuple[str, ...] = ()
    numbers: tuple[float, ...] = ()
    count: int | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Folder:
    sheets: tuple[Sheet, ...] = ()


@given(
    st.lists(st.builds(Sheet, st.lists(st.text()).map(tuple), st.lists(st.floats(allow_nan=False)).map(tuple))).map(
        tuple
    )
)
def test_encoding_and_decoding_are_inverse(sheets: tuple[Sheet, ...]) -> None:
    """What is encoded is decoded to the same value, a dataclass of one field included."""
    folder = Folder(sheets)
    assert api_json.decode(Folder, api_json.encode(folder)) == folder


def test_numbers_are_jsons_not_pythons() -> None:
    """1.0 is a whole number and 1 a number, also in a list, whose odd item an error names; true is neither."""
    sheet = api_json.decode(Sheet, {"Count": 2.0, "Numbers": [1, 0.5]})
    assert sheet == Sheet(numbers=(1.0, 0.5), count=2) and type(sheet.numbers[0]) is float
    for data, words in (
        ({"Count": True}, "S.Count: expected a whole number, got a boolean"),
        ({"Words": ["a", 1]}, r"S.Words\[1\]: expected a string, got a number"),
    ):
        with pytest.raises(Invalid, match=words):
            api_json.decode(Sheet, data, "S")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
CONFIG_KEYS = [*ContainerConfig().to_json(), "ExposedPorts", "Healthcheck", "StopTimeout", "Shell"]
HOST_KEYS = [*HostConfig().to_json(), "Mounts", "Tmpfs", "Sysctls", "StorageOpt"]


@settings(max_examples=150)
@given(
    st.dictionaries(st.sampled_from(CONFIG_KEYS), JSON, min_size=1, max_size=3),
    st.dictionaries(st.sampled_from(HOST_KEYS), JSON, max_size=3),
    JSON,
)
def test_no_order_breaks_the_clerk(config: dict[str, Any], host: dict[str, Any], networking: Any) -> None:
    """Whatever JSON comes, it is understood or refused as invalid: never an error that nobody foresaw."""
    body = {**config, "HostConfig": host, "NetworkingConfig": networking}
    try:
        order = CreateOrder.decode(json.dumps(body).encode())
        prepared = order.host_config.with_defaults(1)
        points = plan_mounts(order.config, prepared, lambda name: ())
        prepared.log_config.limits()
        port_bindings(order.config, prepared)
        container_spec("c" * 64, order.config, prepared, points, Surroundings())
    except Invalid as refusal:
        assert str(refusal)
    else:
        assert HostConfig.from_json(json.loads(json.dumps(prepared.to_json()))).to_json() == prepared.to_json()

"""Small pure things: ports, links, signals, names, sizes, capabilities, the copies of kernel tables."""

from __future__ import annotations

import random
from ipaddress import ip_address, ip_interface

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mini_docker.daemon.container.attachment import Attachment, endpoint_from_json, endpoint_to_json
from mini_docker.daemon.container.config import ContainerConfig, EndpointConfig
from mini_docker.daemon.container.host_config import HostConfig
from mini_docker.daemon.container.links import Link, parse_link
from mini_docker.daemon.container.names import ADJECTIVES, SURNAMES, check_name, random_name
from mini_docker.daemon.container.port_words import parse_host_ports, parse_port
from mini_docker.daemon.container.ports import port_bindings, ports_list, ports_map
from mini_docker.daemon.container.signals import parse_signal
from mini_docker.daemon.jobs.stats import parse_net_dev, with_previous
from mini_docker.daemon.jobs.surveyor import own_capabilities
from mini_docker.daemon.jobs.top import parse_ps
from mini_docker.drivers.networkdriver.contract import EndpointState, Joined, Lease, PortBinding, PublishedPort
from mini_docker.errors import Invalid


def test_port_bindings() -> None:
    """-p in the API's form, ranges, several wishes for one port, and -P for what is exposed besides."""
    host = HostConfig.from_json(
        {
            "PortBindings": {
                "80/tcp": [{"HostPort": "8080"}, {"HostIp": "127.0.0.1", "HostPort": "9000-9010"}],
                "53/udp": None,
                "7000-7001": [{"HostIp": "0.0.0.0"}],
            },
            "PublishAllPorts": True,
        }
    )
    config = ContainerConfig.from_json({"ExposedPorts": {"80/tcp": {}, "443": {}}})
    assert port_bindings(config, host) == (
        PortBinding(80, "tcp", None, (8080, 8080)),
        PortBinding(80, "tcp", ip_address("127.0.0.1"), (9000, 9010)),
        PortBinding(53, "udp"),
        PortBinding(7000, "tcp", ip_address("0.0.0.0")),
        PortBinding(7001, "tcp", ip_address("0.0.0.0")),
        PortBinding(443, "tcp"),
    )
    for key in ("0/tcp", "81-80", "x", "80/icmp", "70000"):
        with pytest.raises(Invalid):
            parse_port(key)


def test_ports_of_the_host() -> None:
    """One, several to choose from, or none said: any free one. A range goes upwards, and has no protocol."""
    assert [parse_host_ports(text) for text in ("", "0", "8080", "8080-8090")] == [
        (0, 0), (0, 0), (8080, 8080), (8080, 8090),
    ]  # fmt: skip
    for text in ("x", "-1", "70000", "9-8", "0-5", "80/tcp", "80-"):
        with pytest.raises(Invalid, match="invalid port specification"):
            parse_host_ports(text)


def test_ports_shown() -> None:
    """inspect and ps show the same ports: exposed ones without a host port too."""
    config = ContainerConfig(exposed_ports={"80/tcp": {}, "443/tcp": {}})
    shown = ports_map(config, [PublishedPort(80, "tcp", ip_address("0.0.0.0"), 8080)])
    assert shown == {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}], "443/tcp": None}
    assert ports_list(shown) == [
        {"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"}, {"PrivatePort": 443, "Type": "tcp"},
    ]  # fmt: skip


LEASES = st.builds(
    Lease,
    st.text("abc", min_size=1), st.text("abc", min_size=1),
    st.none() | st.sampled_from(["10.0.0.2/8", "fd00::2/64"]).map(ip_interface),
    st.none() | st.just(ip_address("10.0.0.1")), st.just("02:42:00:00:00:01"),
)  # fmt: skip
PORT = st.builds(PublishedPort, st.integers(1, 65535), st.just("tcp"), st.just(ip_address("::")), st.integers(1, 9))
STATES = st.builds(
    EndpointState,
    LEASES,
    st.lists(PORT).map(tuple),
    st.none() | st.builds(Joined, st.just("eth0"), st.just("veth1")),
)  # fmt: skip


@settings(max_examples=50)
@given(STATES)
def test_endpoint_round_trip(state: EndpointState) -> None:
    """What the next daemon tells the driver is what the last one was granted, of either address family."""
    assert endpoint_from_json(endpoint_to_json(state)) == state
    place = Attachment("bridge", "n1", EndpointConfig(aliases=("a",)), state)
    assert Attachment.from_json(place.to_json()) == place
    form = place.to_api()
    address = state.lease.address
    assert (form["IPAddress"], form["GlobalIPv6Address"]).count("") == (2 if address is None else 1)
    assert place.released().endpoint_id == ""


def test_link_variables() -> None:
    """The variables of classic Docker; TCP comes first, what is the child's own affair is not told."""
    link = Link("web", "db", "my-db", "10.0.0.5", ((53, "udp"), (5432, "tcp")), ("PATH=/x", "HOME=/y", "V=1", "GONE"))
    env = link.to_env()
    assert env[0] == "MY_DB_PORT=tcp://10.0.0.5:5432" and "MY_DB_NAME=/web/my-db" in env
    assert "MY_DB_PORT_53_UDP_PROTO=udp" in env and env[-1] == "MY_DB_ENV_V=1"
    assert parse_link("db") == ("db", "db") and parse_link("/db:/web/x") == ("db", "x")
    for word in ("", "a:b:c", ":x", "x:", "/", "x:/y/"):
        with pytest.raises(Invalid, match="bad format for links"):
            parse_link(word)


def test_signals() -> None:
    """By name with and without SIG, by number, real-time ones by distance."""
    assert [parse_signal(word) for word in ("KILL", "sigterm", "9", "RTMIN+3", "RTMAX")] == [9, 15, 9, 37, 64]
    for word in ("", "0", "65", "NOPE", "RTMIN+x", "RTMAX+1"):
        with pytest.raises(Invalid, match="Invalid signal"):
            parse_signal(word)


@settings(max_examples=30)
@given(st.integers())
def test_random_names(seed: int) -> None:
    """Every name is a valid one, and a taken one is never given: after a while numbers help."""
    taken = {f"{adjective}_{surname}" for adjective in ADJECTIVES for surname in SURNAMES}
    name = random_name(taken.__contains__, random.Random(seed))
    assert name not in taken and check_name(name) == name
    assert len(set(ADJECTIVES)) == len(ADJECTIVES) and len(set(SURNAMES)) == len(SURNAMES)


def test_own_capabilities() -> None:
    """What this process cannot have, a privileged container cannot be given."""
    assert own_capabilities("Name:\tx\nCapBnd:\t0000000000000003\n") == {"CAP_CHOWN", "CAP_DAC_OVERRIDE"}


def test_ps_and_net_dev() -> None:
    """The columns of ps whose last holds blanks; counters of every interface but the loopback."""
    output = "UID PID CMD\nroot 7 sh -c 'a b'\nroot 8 other\n"
    assert parse_ps(output, {7}) == {"Titles": ["UID", "PID", "CMD"], "Processes": [["root", "7", "sh -c 'a b'"]]}
    with pytest.raises(Invalid, match="PID"):
        parse_ps("USER\nroot\n", {1})
    line = " ".join(str(number) for number in range(1, 17))
    counters = parse_net_dev(f"Inter-|\n face |\n    lo: {line}\n  eth0: {line}\n")
    assert list(counters) == ["eth0"] and counters["eth0"]["rx_bytes"] == 1 and counters["eth0"]["tx_bytes"] == 9
    assert with_previous({"read": "b"}, {"read": "a", "cpu_stats": 1})["precpu_stats"] == 1

"""The little languages in flags' values."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mini_docker.commands import specs

port_numbers = st.integers(1, 65535)


@given(
    st.sampled_from(["", "127.0.0.1", "[::1]"]), st.none() | port_numbers, port_numbers,
    st.sampled_from(["", "/tcp", "/udp", "/sctp"]),
)  # fmt: skip
@settings(max_examples=100, deadline=None)
def test_a_port_is_read_as_written(address: str, host: int | None, container: int, protocol: str) -> None:
    """Each form of ``-p`` [[address:]host:]container[/protocol], and what is left out is empty."""
    front = f"{address}:" if address else ""
    word = f"{front}{host or ''}{':' if front or host else ''}{container}{protocol}"
    expected = (f"{container}{protocol or '/tcp'}", address.strip("[]"), str(host or ""))
    assert specs.parse_ports(word) == [expected]


@given(st.integers(1, 60000), st.integers(1, 60000), st.integers(1, 20))
@settings(max_examples=50, deadline=None)
def test_ranges_are_matched_by_position(host: int, container: int, length: int) -> None:
    """``8000-8002:80-82``: as many on both sides, in order."""
    word = f"{host}-{host + length}:{container}-{container + length}"
    assert specs.parse_ports(word) == [(f"{container + i}/tcp", "", str(host + i)) for i in range(length + 1)]


def test_a_host_range_for_one_port_is_the_daemons_choice() -> None:
    """``8000-8010:80`` leaves it to the daemon which of the eleven is free."""
    assert specs.parse_ports("8000-8010:80") == [("80/tcp", "", "8000-8010")]


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("foo", "invalid containerPort: foo"), ("x:80", "invalid hostPort: x"), ("80:", "no port specified"),
        ("80:70000", "invalid containerPort: 70000"), ("1-3:1-2", "invalid ranges"), ("80/icmp", "invalid proto: icmp"),
        ("300.1.1.1:1:1", "invalid IP address: 300.1.1.1"), ("[::1:80", "invalid IP address"), ("9-8:9-8", "invalid"),
        ("", "no port specified"), ("-1:80", "invalid hostPort"),
    ],
)  # fmt: skip
def test_bad_ports(word: str, sentence: str) -> None:
    """The sentence names the part that is wrong."""
    with pytest.raises(ValueError, match=sentence.replace("[", r"\[")):
        specs.parse_ports(word)


@given(st.text(max_size=12))
@settings(max_examples=300, deadline=None)
def test_no_word_breaks_a_parser(word: str) -> None:
    """Any word is either understood or a ValueError with a sentence: no traceback for a typing mistake."""
    for parse in (
        specs.parse_ports, specs.parse_expose, specs.parse_volume, specs.parse_ulimit, specs.parse_device,
        specs.parse_restart, specs.parse_mount,
    ):  # fmt: skip
        try:
            parse(word)
        except ValueError as error:
            assert str(error)


def test_env_from_our_own_environment() -> None:
    """A bare name takes our value; one that we don't have is left out, not set empty."""
    assert specs.parse_env(["A=1", "B", "C", "D="], {"B": "2"}) == ["A=1", "B=2", "D="]
    with pytest.raises(ValueError, match="invalid environment variable: =x"):
        specs.parse_env(["=x"], {})


def test_env_files() -> None:
    """Comments and blank lines don't count, values are taken as they are, quotes and spaces included."""
    text = "\ufeff# c\n\n  A=1 2 \nB\nC='q'\n"
    assert specs.parse_env_file(text, "f") == ["A=1 2 ", "B", "C='q'"]
    for bad in ("=x", "A B=1"):
        with pytest.raises(ValueError, match=r"invalid env file \(f\)"):
            specs.parse_env_file(bad, "f")


def test_volumes(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    """A relative host path becomes absolute here, since the daemon has another working directory."""
    monkeypatch.chdir(str(tmp_path))
    assert specs.parse_volume("./a:/b:ro") == f"{tmp_path}/a:/b:ro"
    assert specs.parse_volume("name:/b") == "name:/b"
    for bad in (":", "a:", ":/b", "a:b:c:d"):
        with pytest.raises(ValueError, match="invalid volume specification"):
            specs.parse_volume(bad)


def test_the_rest() -> None:
    """One good word of each other language, and its usual mistakes."""
    assert specs.parse_ulimit("nofile=1:2") == {"Name": "nofile", "Soft": 1, "Hard": 2}
    assert specs.parse_ulimit("nproc=-1") == {"Name": "nproc", "Soft": -1, "Hard": -1}
    assert specs.parse_device("/dev/a:/dev/b:r")["CgroupPermissions"] == "r"
    assert specs.parse_device("/dev/a:rw") == {
        "PathOnHost": "/dev/a", "PathInContainer": "/dev/a", "CgroupPermissions": "rw",
    }  # fmt: skip
    assert specs.parse_restart("on-failure:3") == {"Name": "on-failure", "MaximumRetryCount": 3}
    assert specs.parse_mount("type=bind,src=/a,dst=/b,readonly") == {
        "Type": "bind", "Source": "/a", "Target": "/b", "ReadOnly": True,
    }  # fmt: skip
    assert specs.parse_capability("net_admin") == "CAP_NET_ADMIN" and specs.parse_capability("all") == "ALL"
    assert specs.parse_filters(["status=running", "status=exited"]) == '{"status":{"running":true,"exited":true}}'
    for parse, bad in (
        (specs.parse_ulimit, "nofile=3:2"), (specs.parse_ulimit, "nofile"), (specs.parse_device, "/dev/a:/b:rx"),
        (specs.parse_restart, "on-failure:x"), (specs.parse_mount, "type=bind,dst=/b"), (specs.parse_mount, "src=/a"),
        (specs.parse_mount, "foo=bar"),
    ):  # fmt: skip
        with pytest.raises(ValueError):
            parse(bad)

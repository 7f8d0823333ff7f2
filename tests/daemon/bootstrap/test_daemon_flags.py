"""The daemon's flags: Docker's classic words, and a clear sentence for what makes no sense."""

from __future__ import annotations

from ipaddress import IPv4Interface, IPv4Network
from pathlib import Path

import pytest

from mini_docker.daemon.flags import DEFAULT_ROOT, DEFAULT_RUN, parse
from mini_docker.errors import Invalid
from mini_docker.remote_api import DEFAULT_HOST


def test_defaults() -> None:
    """As the documentation says them."""
    said = parse([], {})
    assert said.hosts == (DEFAULT_HOST,)
    assert (said.settings.root, said.settings.exec_root) == (DEFAULT_ROOT, DEFAULT_RUN)
    assert said.pidfile == DEFAULT_RUN / "mini-docker.pid"
    assert (said.graph_driver, said.exec_driver) == ("", "native")
    assert said.bridge.icc
    assert said.bridge.iptables
    assert not said.settings.live_restore


def test_classic_flags() -> None:
    """Those of the issue, in both spellings."""
    said = parse(
        ["-H", "unix:///a", "-H", "tcp://127.0.0.1:2375", "-g", "/r", "--exec-root", "/x", "-s", "vfs", "-e", "native",
         "-p", "/p", "--label", "a=b", "-D", "--bip", "10.9.0.1/24", "--fixed-cidr", "10.9.0.128/25", "--icc=false",
         "--iptables=false", "--ip-forward=false", "--mtu", "1400", "--dns", "9.9.9.9", "--live-restore",
         "--insecure-registry", "r:5000", "--storage-opt", "a.b=c"],
        {"DOCKER_DRIVER": "overlay"},
    )  # fmt: skip
    assert said.hosts == ("unix:///a", "tcp://127.0.0.1:2375")
    assert said.settings.root == Path("/r")
    assert said.debug
    assert (said.graph_driver, said.graph_driver_environment) == ("vfs", "overlay")
    assert said.graph_options.values == {"a.b": "c"}
    assert said.bridge.bip == IPv4Interface("10.9.0.1/24")
    assert said.bridge.fixed_cidr == IPv4Network("10.9.0.128/25")
    assert (said.bridge.icc, said.bridge.iptables, said.bridge.ip_forward) == (False, False, False)
    assert said.settings.dns == ("9.9.9.9",)
    assert said.settings.live_restore
    assert parse(["--data-root", "/d"], {}).settings.root == Path("/d")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--nonsense"], "unknown flag: --nonsense"),
        (["stray"], "the daemon takes no argument: stray"),
        (["--bip", "10.0.0.1"], "--bip 10.0.0.1: not an address with its prefix length"),
        (["--bip", "10.0.0.300/8"], "--bip 10.0.0.300/8"),
        (["--dns", "nine"], "--dns nine: not an IPv4 address"),
        (["--icc=perhaps"], "'perhaps' is neither true nor false"),
        (["--storage-opt", "x"], "--storage-opt x: not KEY=VALUE"),
        (["-b", "br0", "--bip", "10.0.0.1/8"], "mutually exclusive"),
        (["--registry-mirror", "nowhere"], "nowhere"),
    ],
)
def test_what_makes_no_sense_is_named(words: list[str], sentence: str) -> None:
    """And the daemon does not start half-configured."""
    with pytest.raises(Invalid) as caught:
        parse(words, {})
    assert sentence in str(caught.value)

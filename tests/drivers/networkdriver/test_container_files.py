"""The files that tell a container names, /etc/resolv.conf and /etc/hosts; and the choice of a subnet."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mini_docker.drivers.networkdriver import hosts_file, resolv_conf
from mini_docker.drivers.networkdriver.subnets import candidates, first_free, mac_address, nameservers
from mini_docker.errors import Conflict, Invalid

WORD = st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True)
HOST_FILE = """# made by hand
domain old.example
nameserver 127.0.0.53
nameserver 192.0.2.53   # ours
nameserver ::1
nameserver nonsense
search example.org corp.example
options edns0
options ndots:2 trust-ad
"""


def test_resolvers_of_the_host_alone_are_left_out() -> None:
    """127.0.0.53 would be the container's own loopback, where nobody listens."""
    conf = resolv_conf.for_container(HOST_FILE)
    assert conf.nameservers == ("192.0.2.53",)
    assert conf.search == ("example.org", "corp.example")
    assert conf.options == ("edns0", "ndots:2", "trust-ad")


def test_without_a_reachable_resolver_dockers_defaults_stand_in() -> None:
    """As Docker: 8.8.8.8 and 8.8.4.4."""
    text = resolv_conf.for_container("nameserver 127.0.0.1\n").text()
    assert text == "nameserver 8.8.8.8\nnameserver 8.8.4.4\n"


def test_flags_replace_what_the_host_says_each_for_itself() -> None:
    """--dns does not touch search domains; --dns-search . takes them all away."""
    conf = resolv_conf.for_container(HOST_FILE, dns=["9.9.9.9"], search=["."], options=["timeout:1"])
    assert conf.text() == "nameserver 9.9.9.9\noptions timeout:1\n"


@given(
    st.lists(st.ip_addresses().map(str), max_size=3, unique=True).filter(lambda found: "%" not in "".join(found)),
    st.lists(WORD, max_size=3),
    st.lists(WORD, max_size=3),
)
def test_what_is_written_is_read_again(servers: list[str], search: list[str], options: list[str]) -> None:
    """`parse` is the inverse of `text`."""
    conf = resolv_conf.ResolvConf(tuple(servers), tuple(search), tuple(options))
    assert resolv_conf.parse(conf.text()) == conf


def test_the_hosts_file_names_the_container_and_its_extras() -> None:
    """The standard entries first, then --add-host, links and the container itself, a tab between address and names."""
    entries = [
        *hosts_file.extra_entries(
            ["db:10.0.0.9", "six:[fd00::1]", "host.internal:host-gateway"], ip_address("10.0.0.1")
        ),
        hosts_file.own_entry(ip_address("10.0.0.2"), "web", "example.org"),
        hosts_file.own_entry(ip_address("10.0.0.3"), "alone"),
    ]
    lines = hosts_file.text(entries).splitlines()
    assert lines[0] == "127.0.0.1\tlocalhost"
    assert lines[-5:] == [
        "10.0.0.9\tdb", "fd00::1\tsix", "10.0.0.1\thost.internal", "10.0.0.2\tweb.example.org web", "10.0.0.3\talone",
    ]  # fmt: skip


@pytest.mark.parametrize("word", ["", "name", "name:", ":1.2.3.4", "name:nonsense", "gateway:host-gateway"])
def test_a_malformed_extra_host_is_refused(word: str) -> None:
    """With a sentence, not a broken file. (The last one asks for a gateway where there is none.)"""
    with pytest.raises(Invalid):
        hosts_file.extra_entries([word])


@given(st.lists(st.sampled_from(list(candidates())), max_size=20))
def test_a_chosen_subnet_overlaps_nothing(taken: list[object]) -> None:
    """Neither another network nor a route."""
    chosen = first_free(taken, [])  # type: ignore[arg-type]
    assert not any(chosen.overlaps(other) for other in taken)  # type: ignore[arg-type]


def test_a_chosen_subnet_leaves_resolvers_reachable() -> None:
    """A resolver inside it would seem to be a neighbour of the container's."""
    assert first_free([], nameservers("nameserver 172.17.0.53\n")) == ip_network("172.18.0.0/16")


def test_when_every_candidate_is_taken_it_says_so() -> None:
    """As Docker's sentence has it."""
    with pytest.raises(Conflict):
        first_free([ip_network("0.0.0.0/0")], [])


@given(st.ip_addresses())
def test_mac_addresses_are_local_and_for_one(address: object) -> None:
    """The first byte's two lowest bits: set for local, clear for unicast."""
    mac = bytes.fromhex(mac_address(address).replace(":", ""))  # type: ignore[arg-type]
    assert len(mac) == 6
    assert mac[0] & 3 == 2

"""Which form of the firewall is chosen, in private networks that are set up as other tools do."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from mini_docker.linux.firewall_choice import choose_firewall, forward_policy_drops
from mini_docker.linux.nftables import NftablesFirewall
from tests.drivers.networkdriver.namespaces import private_host

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


@pytest.fixture(autouse=True)
def private_network() -> Iterator[None]:
    """Every test has a packet filter to itself."""
    with private_host():
        if obstacle := NftablesFirewall("probe").obstacle():
            pytest.skip(obstacle)
        yield


def test_nftables_is_chosen_on_a_clean_machine() -> None:
    """It is quicker, and a published port costs the same however many there are."""
    assert choose_firewall("t").name == "nftables"


@pytest.mark.parametrize("variant", ["iptables-legacy", "iptables-nft"])
def test_iptables_is_chosen_where_its_policy_drops(variant: str) -> None:
    """With FORWARD on DROP only a rule in that chain lets containers out: nftables' accept would not help."""
    if shutil.which(variant) is None:
        pytest.skip(f"no {variant}")
    subprocess.run([variant, "-P", "FORWARD", "DROP"], check=True)
    assert forward_policy_drops()
    assert choose_firewall("t").name == "iptables"
    subprocess.run([variant, "-P", "FORWARD", "ACCEPT"], check=True)
    assert choose_firewall("t").name == "nftables"


def test_without_the_flag_nothing_is_written() -> None:
    """--iptables=false: the packet filter is the administrator's."""
    assert choose_firewall("t", iptables=False).name == "none"

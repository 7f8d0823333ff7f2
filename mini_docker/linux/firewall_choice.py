"""Which form of the firewall fits this machine: nftables if it can do the work, else iptables.

An ACCEPT in one nftables table does not overrule a DROP in another. Where a tool has set iptables' FORWARD
to DROP (Docker itself does, ufw does), only a rule in that very chain lets packets through: iptables' form.
"""

from __future__ import annotations

from pathlib import Path

from mini_docker.linux.firewall import Firewall, FirewallError, NoFirewall
from mini_docker.linux.iptables import IptablesFirewall
from mini_docker.linux.nftables import Nftables, NftablesFirewall

# Each network namespace has its own list: the calling thread's counts.
LEGACY_TABLES = Path("/proc/thread-self/net/ip_tables_names")


def choose_firewall(tag: str, iptables: bool = True, loopback: bool = True) -> Firewall:
    """The form to use here. Whether it works at all is for its `obstacle` to say.

    Args:
        tag: tells this instance's rules from others': at most 8 letters and digits.
        iptables: the daemon's flag ``--iptables``; False leaves the packet filter to the administrator.
        loopback: whether the host's own packets for 127.0.0.0/8 are led to published ports, too.
    """
    if not iptables:
        return NoFirewall()
    nftables = NftablesFirewall(tag, loopback)
    if not nftables.obstacle() and not forward_policy_drops():
        return nftables
    classic = IptablesFirewall(tag, loopback=loopback)
    return nftables if classic.obstacle() else classic


def forward_policy_drops() -> bool:
    """Whether iptables, in either variant, drops forwarded packets that no rule of its own accepts."""
    try:
        # iptables-nft keeps its chains where nft sees them.
        if "policy drop" in Nftables().run("list chain ip filter FORWARD"):
            return True
    except (OSError, FirewallError):
        pass  # no nftables, or no such chain: then the other variant decides
    try:
        # Asked only if the table is in use: asking would bring it to life.
        if "filter" not in LEGACY_TABLES.read_text().split():
            return False
        return IptablesFirewall("", "legacy").policy_drops_forwarded()
    except (OSError, FirewallError):
        return False  # no iptables-legacy here

"""The firewall's iptables form: one ``iptables-restore --noflush`` for each change.

Every start of iptables reads and writes whole tables, so a change is handed over as one text. What
the text says is iptables_rules.py's affair.

Source: iptables-restore(8), iptables-save(8).
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence

from mini_docker.linux import iptables_rules
from mini_docker.linux.conntrack import forget_datagrams
from mini_docker.linux.firewall import FirewallError, Rule

WAIT_SECONDS = "5"  # for another program's lock on the tables


class IptablesFirewall:
    """The door's iptables form: everything in chains of its own, and one jump to them from each built-in chain.

    Args:
        tag: tells this instance from others; at most 8 letters and digits, for a chain's name has 28.
        flavour: empty for the machine's default; ``legacy`` or ``nft`` for that variant of the programs.
        loopback: whether the host's own packets for 127.0.0.0/8 are led to published ports, too.
    """

    name = "iptables"

    def __init__(self, tag: str, flavour: str = "", loopback: bool = True) -> None:
        self._tag = tag
        self._loopback = loopback
        self._program = f"iptables-{flavour}" if flavour else "iptables"

    def obstacle(self) -> str:
        if shutil.which(f"{self._program}-restore") is None:
            return f"no {self._program}-restore on PATH"
        try:
            # Asking for a chain makes the kernel load its table.
            for table, chain in (("raw", "PREROUTING"), ("nat", "PREROUTING"), ("filter", "FORWARD")):
                self._run(self._program, "-w", WAIT_SECONDS, "-t", table, "-S", chain)
        except FirewallError as error:
            return f"iptables does not work here: {error}"
        return ""

    def install(self, rules: Sequence[Rule]) -> None:
        self._restore(iptables_rules.install(self._tag, rules, self._save(), self._loopback))

    def add(self, rules: Sequence[Rule]) -> None:
        self._restore(iptables_rules.add(self._tag, rules))
        forget_datagrams(rules)

    def delete(self, rules: Sequence[Rule]) -> None:
        self._restore(iptables_rules.delete(self._tag, rules))
        forget_datagrams(rules)

    def commands(self, rules: Sequence[Rule], delete: bool = False) -> tuple[str, ...]:
        return iptables_rules.commands((iptables_rules.delete if delete else iptables_rules.add)(self._tag, rules))

    def missing(self, rules: Sequence[Rule]) -> tuple[Rule, ...]:
        return iptables_rules.missing(self._tag, rules, self._save(), self._loopback)

    def remove(self) -> None:
        self._restore(iptables_rules.remove(self._tag, self._save()))

    def show(self) -> str:
        return iptables_rules.show(self._tag, self._run(f"{self._program}-save", "-c"))

    def close(self) -> None:
        """It holds nothing."""

    def policy_drops_forwarded(self) -> bool:
        """Whether FORWARD drops what no rule accepts, as other tools set it: then accepting must be done here."""
        return "-P FORWARD DROP" in self._run(self._program, "-w", WAIT_SECONDS, "-S", "FORWARD")

    def _save(self) -> str:
        return self._run(f"{self._program}-save")

    def _restore(self, text: str) -> None:
        if text:
            self._run(f"{self._program}-restore", "--noflush", "-w", WAIT_SECONDS, stdin=text)

    def _run(self, *argv: str, stdin: str = "") -> str:
        try:
            done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False, timeout=30)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise FirewallError(f"{argv[0]}: {error}") from None
        if done.returncode:
            raise FirewallError(f"{argv[0]}: {done.stderr.strip() or f'exit status {done.returncode}'}")
        return done.stdout

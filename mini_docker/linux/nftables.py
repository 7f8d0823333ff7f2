"""The firewall's nftables form: libnftables, the library inside nft(8), called directly.

Starting the nft program costs ten times what the kernel needs for the change itself. The library is C,
so this is, beside the kernel's door, the other place that uses ctypes. What the commands say is
nft_rules.py's affair.

Source: libnftables(3).
"""

from __future__ import annotations

import ctypes
import threading
import weakref
from collections.abc import Sequence

from mini_docker.linux import nft_rules
from mini_docker.linux.conntrack import forget_datagrams
from mini_docker.linux.firewall import FirewallError, Rule

LIBRARY = "libnftables.so.1"


class Nftables:
    """Nft(8) as an object: runs texts of commands, each text one transaction.

    *Guarded by the lock*: the library's context, which one thread may use at a time.

    Raises:
        OSError: the library is not on this machine.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._library = ctypes.CDLL(LIBRARY)
        self._library.nft_ctx_new.restype = ctypes.c_void_p
        for name in ("nft_ctx_get_output_buffer", "nft_ctx_get_error_buffer"):
            getattr(self._library, name).restype = ctypes.c_char_p
        self._context = ctypes.c_void_p(self._library.nft_ctx_new(0))
        if not self._context:
            raise OSError("libnftables gives no context (no netlink socket to the packet filter)")
        # The library's context has a netlink socket: it goes with this object.
        weakref.finalize(self, self._library.nft_ctx_free, self._context)
        self._library.nft_ctx_buffer_output(self._context)
        self._library.nft_ctx_buffer_error(self._context)

    def run(self, commands: str) -> str:
        """Carry the commands out; what they print.

        Raises:
            FirewallError: one of them was refused, so none was done.
        """
        with self._lock:
            failed = self._library.nft_run_cmd_from_buffer(self._context, commands.encode())
            # Reading a buffer empties it: both are read, whatever happened.
            output = self._library.nft_ctx_get_output_buffer(self._context) or b""
            complaint = self._library.nft_ctx_get_error_buffer(self._context) or b""
        if failed:
            raise FirewallError(f"nftables: {complaint.decode(errors='replace').strip()}")
        return str(output.decode(errors="replace"))


class NftablesFirewall:
    """The door's nftables form: everything in one table of its own.

    Args:
        tag: tells this instance from others; letters and digits.
        loopback: whether the host's own packets for 127.0.0.0/8 are led to published ports, too.
    """

    name = "nftables"

    def __init__(self, tag: str, loopback: bool = True) -> None:
        self._table = f"mini_docker_{tag}"
        self._loopback = loopback
        self._nft: Nftables | None = None
        self._obstacle = ""
        try:
            self._nft = Nftables()
            self._nft.run("list tables ip")
        except OSError as error:
            self._obstacle = f"no libnftables: {error}"
        except FirewallError as error:
            self._obstacle = f"this kernel lacks nftables, or it may not be used: {error}"

    def obstacle(self) -> str:
        return self._obstacle

    def install(self, rules: Sequence[Rule]) -> None:
        self._run(nft_rules.install(self._table, rules, self._loopback))

    def add(self, rules: Sequence[Rule]) -> None:
        self._run(nft_rules.add(self._table, rules))
        forget_datagrams(rules)

    def delete(self, rules: Sequence[Rule]) -> None:
        self._run(nft_rules.delete(self._table, rules))
        forget_datagrams(rules)

    def commands(self, rules: Sequence[Rule], delete: bool = False) -> tuple[str, ...]:
        return tuple((nft_rules.delete if delete else nft_rules.add)(self._table, rules).splitlines())

    def missing(self, rules: Sequence[Rule]) -> tuple[Rule, ...]:
        return nft_rules.missing(self.show(), rules)

    def remove(self) -> None:
        self._run(nft_rules.remove(self._table))

    def show(self) -> str:
        try:
            return self._run(f"list table ip {self._table}")
        except FirewallError:
            return ""  # the table is not there: it shows nothing

    def close(self) -> None:
        self._nft = None
        self._obstacle = "the firewall's door is closed"

    def _run(self, commands: str) -> str:
        if self._nft is None:
            raise FirewallError(self._obstacle)
        return self._nft.run(commands) if commands else ""

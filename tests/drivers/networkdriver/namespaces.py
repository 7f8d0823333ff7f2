"""Network namespaces for live tests: made, entered and left by the test's own thread.

setns(2) on a network namespace moves one thread, so a test may step into "the outside" to open a
socket there and step back; the socket stays where it was opened. A namespace lives as long as its
descriptor: nothing to kill, nothing left.
"""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from mini_docker.drivers.networkdriver.contract import SandboxSockets
from mini_docker.linux.constants import CLONE_NEWNET
from mini_docker.linux.linux_kernel import LinuxKernel

KERNEL = LinuxKernel()


def _own_namespace() -> int:
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


class Namespace:
    """A network namespace, new and empty."""

    def __init__(self) -> None:
        here = _own_namespace()
        try:
            KERNEL.unshare(CLONE_NEWNET)
            self.descriptor = _own_namespace()
            self.netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        finally:
            KERNEL.setns(here, CLONE_NEWNET)
            os.close(here)

    @classmethod
    def of(cls, pid: int) -> Namespace:
        """The namespace that a process is in."""
        found = cls.__new__(cls)
        found.descriptor = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        with found.entered():
            found.netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        return found

    @contextmanager
    def entered(self) -> Iterator[None]:
        """This thread is inside while the block runs; what it starts or opens stays there."""
        here = _own_namespace()
        try:
            KERNEL.setns(self.descriptor, CLONE_NEWNET)
            yield
        finally:
            KERNEL.setns(here, CLONE_NEWNET)
            os.close(here)

    @property
    def sandbox(self) -> SandboxSockets:
        """As the exec driver hands it to the network driver."""
        return SandboxSockets(self.descriptor, self.netlink.fileno())

    def run(self, *argv: str) -> str:
        """Run a command inside; its standard output."""
        with self.entered():
            return subprocess.run(argv, check=True, capture_output=True, text=True).stdout

    def close(self) -> None:
        """Let the namespace go."""
        self.netlink.close()
        os.close(self.descriptor)

    def serve(self, name: str, port: int, protocol: str = "tcp", address: str = "0.0.0.0") -> socket.socket:
        """Answer *name* and the caller's address to everyone who comes to the port, until the socket is closed."""
        kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
        with self.entered():
            listener = socket.socket(socket.AF_INET, kind)
            listener.bind((address, port))
        if protocol == "tcp":
            listener.listen(16)
        target = _answer_streams if protocol == "tcp" else _answer_datagrams
        threading.Thread(target=target, args=(listener, name), daemon=True).start()
        return listener

    def ask(self, address: str, port: int, protocol: str = "tcp", seconds: float = 5.0) -> str:
        """What the server there answers; "" when nobody does within *seconds*."""
        with self.entered():
            return ask(address, port, protocol, seconds)


def lay_wire(host: Namespace, host_address: str, outside: Namespace, outside_address: str) -> None:
    """A cable called wire between two namespaces, with an address (and the subnet, /24) at either end."""
    with host.entered():
        command = f"ip link add wire type veth peer name wire netns /proc/self/fd/{outside.descriptor}"
        subprocess.run(command.split(), check=True, pass_fds=[outside.descriptor])
    outside.run("ip", "link", "set", "lo", "up")
    for namespace, address in ((host, host_address), (outside, outside_address)):
        namespace.run("ip", "address", "add", f"{address}/24", "dev", "wire")
        namespace.run("ip", "link", "set", "wire", "up")


def ask(address: str, port: int, protocol: str = "tcp", seconds: float = 5.0) -> str:
    """As `Namespace.ask`, from where this thread is."""
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    with socket.socket(socket.AF_INET, kind) as client:
        client.settimeout(seconds)
        try:
            client.connect((address, port))
            client.send(b"?")
            return client.recv(1000).decode()
        except OSError:
            return ""


def _answer_streams(listener: socket.socket, name: str) -> None:
    while True:
        try:
            connection, peer = listener.accept()
        except OSError:
            return
        with connection:
            connection.recv(10)
            connection.sendall(f"{name} {peer[0]}".encode())


def _answer_datagrams(listener: socket.socket, name: str) -> None:
    while True:
        try:
            _data, peer = listener.recvfrom(10)
            listener.sendto(f"{name} {peer[0]}".encode(), peer)
        except OSError:
            return


@contextmanager
def private_host() -> Iterator[Namespace]:
    """While the block runs, this thread's own network is a new one with loopback up: the host of a test."""
    host = Namespace()
    try:
        with host.entered():
            subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
            yield host
    finally:
        host.close()

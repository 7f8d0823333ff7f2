"""Listeners: addresses become sockets, and what stands in the way is said in one sentence."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from mini_docker.errors import Conflict, Invalid, NotFound
from mini_docker.http.listeners import listen, split_host_port


def test_a_unix_socket_is_for_its_owner_and_group(tmp_path: Path) -> None:
    """Whoever may write to it is root on this machine: mode 0660, whatever the umask."""
    before = os.umask(0o077)
    try:
        (listener,) = listen([f"unix://{tmp_path}/s"])
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o660
    listener.close()
    assert not (tmp_path / "s").exists()


def test_a_stale_socket_file_is_replaced(tmp_path: Path) -> None:
    """A crash leaves the file behind; the next daemon must start all the same."""
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(tmp_path / "s"))
    left.close()
    (listener,) = listen([f"unix://{tmp_path}/s"])
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(tmp_path / "s"))
    listener.close()


def test_a_living_daemon_keeps_its_socket(tmp_path: Path) -> None:
    """A second daemon at the same address is a conflict and leaves the first one's socket working."""
    (first,) = listen([f"unix://{tmp_path}/s"])
    with pytest.raises(Conflict, match="another process listens there"):
        listen([f"unix://{tmp_path}/s"])
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(tmp_path / "s"))
    first.close()


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    """We remove what we made, and nothing else."""
    (tmp_path / "s").write_text("precious")
    with pytest.raises(Conflict, match="not a socket"):
        listen([f"unix://{tmp_path}/s"])
    assert (tmp_path / "s").read_text() == "precious"


def test_a_closed_listener_leaves_its_successors_file(tmp_path: Path) -> None:
    """If somebody put another socket in our file's place, the file is theirs."""
    (listener,) = listen([f"unix://{tmp_path}/s"])
    (tmp_path / "s").rename(tmp_path / "old")  # keeps the inode from being given out again
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(tmp_path / "s"))
        listener.close()
        assert (tmp_path / "s").exists()


def test_tcp_says_the_port_that_the_kernel_chose() -> None:
    """Port 0 means any; the address tells which."""
    (listener,) = listen(["tcp://127.0.0.1:0"])
    with socket.create_connection(split_host_port(listener.address)):
        pass
    with pytest.raises(Conflict, match="in use"):
        listen([listener.address])
    listener.close()


def test_all_or_nothing(tmp_path: Path) -> None:
    """If one address cannot be had, none is kept: a daemon that failed to start leaves no socket file."""
    with pytest.raises(Invalid):
        listen([f"unix://{tmp_path}/s", "carrier-pigeon://coop"])
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    "address",
    ["", "/run/x.sock", "unix://", "unix://relative", "http://x", "tcp://127.0.0.1:port", "tcp://127.0.0.1:70000",
     "tcp://[::1:80", "unix:///" + "x" * 200, "tcp://no such host:1"],
)  # fmt: skip
def test_bad_addresses_are_invalid(address: str) -> None:
    """Whatever is wrong with an address, the sentence shows it."""
    with pytest.raises(Invalid, match=r"address|listen"):
        listen([address])


def test_a_missing_folder_is_not_found(tmp_path: Path) -> None:
    """The folder is not made: its owner and mode are not ours to choose."""
    with pytest.raises(NotFound, match="folder does not exist"):
        listen([f"unix://{tmp_path}/none/s"])


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("tcp://h:1", ("h", 1)),
        ("tcp://:2376", ("", 2376)),
        ("tcp://h", ("h", 2375)),
        ("tcp://[::1]:7", ("::1", 7)),
        ("tcp://[::1]", ("::1", 2375)),
        ("tcp://h:1/", ("h", 1)),
    ],
)
def test_hosts_and_ports(address: str, expected: tuple[str, int]) -> None:
    """The forms that users write."""
    assert split_host_port(address) == expected


def test_a_socket_that_systemd_passes_is_taken(tmp_path: Path) -> None:
    """Socket activation: descriptor 3 listens already, and LISTEN_PID says that it is meant for us."""
    program = """
import os, socket, sys
os.dup2(int(sys.argv[3]), 3)
sys.path.insert(0, sys.argv[1])
from mini_docker.http.listeners import listen
os.environ["LISTEN_PID"] = str(os.getpid())
(listener,) = listen([sys.argv[2]])
connection, _ = listener.socket.accept()
connection.sendall(listener.address.encode() + b" %d" % os.get_inheritable(3))
listener.close()
"""
    root = str(Path(__file__).parents[2])
    with socket.socket(socket.AF_UNIX) as passed:
        passed.bind(str(tmp_path / "s"))
        passed.listen()
        for address in ("fd://", "fd://3"):
            child = subprocess.Popen(
                [sys.executable, "-c", program, root, address, str(passed.fileno())],
                pass_fds=[passed.fileno()],
                env={"LISTEN_FDS": "1"},
            )
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(20)
                client.connect(str(tmp_path / "s"))
                assert client.recv(100) == b"fd://3 0"
            assert child.wait(20) == 0


def test_no_passed_socket_is_not_found() -> None:
    """Sockets meant for another process (LISTEN_PID) are not ours to take."""
    for environ in ({}, {"LISTEN_PID": "1", "LISTEN_FDS": "2"}):
        with pytest.raises(NotFound, match="systemd passed 0"):
            listen(["fd://"], environ=environ)

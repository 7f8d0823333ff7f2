"""Containers outlive their daemon: killed, stopped, started again."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests.house.house import House, has_docker_cli

pytestmark = pytest.mark.root

COUNT = "i=0; while :; do echo n$i; i=$((i+1)); usleep 20000; done"


def numbers(house: House, container: str) -> list[int]:
    """What the counting container logged so far."""
    return [int(line[1:]) for line in house.ours("logs", container).out.splitlines()]


def lives(pid: int) -> bool:
    """Whether the process runs; one that only waits to be reaped does not."""
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def wait_for(condition: object, seconds: float = 15.0) -> None:
    """Until *condition* holds; it is asked for, since what it is about has no event of its own here."""
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def test_a_killed_daemon_is_not_noticed(house: House) -> None:
    """The container runs, its log has no gap, its port answers, and the next daemon takes over."""
    page = "mkdir -p /tmp/w; echo page > /tmp/w/index.html; httpd -p 80 -h /tmp/w; " + COUNT
    house.ours("run", "-d", "--name", "cc", "-p", "127.0.0.1:18090:80", "busybox", "sh", "-c", page)
    house.ours("run", "-d", "--name", "ee", "busybox", "sh", "-c", "usleep 500000; exit 9")
    pid = house.inspect("cc")["State"]["Pid"]
    wait_for(lambda: len(numbers(house, "cc")) > 3)
    house.kill()
    assert Path(f"/proc/{pid}").exists()
    assert house.fetch("http://127.0.0.1:18090/") == "page\n"
    time.sleep(1)  # nobody looks meanwhile: ee ends, cc goes on
    house.start()
    assert house.inspect("cc")["State"]["Running"]
    assert house.inspect("ee")["State"]["ExitCode"] == 9
    seen = numbers(house, "cc")
    assert seen == list(range(len(seen)))
    assert len(seen) > 20
    assert house.fetch("http://127.0.0.1:18090/") == "page\n"
    assert house.ours("exec", "cc", "echo", "x").out == "x\n"
    assert house.ours("stop", "-t", "0", "cc").code == 0
    assert house.ours("start", "cc").code == 0


@pytest.mark.skipif(not has_docker_cli(), reason="the stock docker command line is not installed")
def test_attach_and_follow_work_again(house: House) -> None:
    """After a restart of the daemon as before it."""
    house.ours("run", "-d", "--name", "cat", "-i", "busybox", "cat")
    house.kill()
    house.start()
    with (
        docker(house, "logs", "-f", "cat") as follower,
        docker(house, "attach", "cat") as attached,
    ):
        assert attached.stdin is not None
        attached.stdin.write("through a new daemon\n")
        attached.stdin.flush()
        for client in (attached, follower):
            assert client.stdout is not None
            assert client.stdout.readline() == "through a new daemon\n"
        house.ours("rm", "-f", "cat")
        for client in (attached, follower):
            client.wait(20)


def docker(house: House, *words: str) -> subprocess.Popen[str]:
    """The stock client, with pipes to it."""
    return subprocess.Popen(
        ["docker", "-H", house.host, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def test_an_orderly_end_stops_containers(house: House) -> None:
    """SIGTERM: each gets its signal and its time."""
    shell = "trap 'echo bye; exit 3' TERM; echo up; while :; do usleep 20000; done"
    house.ours("run", "-d", "--name", "polite", "busybox", "sh", "-c", shell)
    wait_for(lambda: "up" in house.ours("logs", "polite").out)
    house.stop()
    house.start()
    state = house.inspect("polite")["State"]
    assert (state["Running"], state["ExitCode"]) == (False, 3)
    assert house.ours("logs", "polite").out == "up\nbye\n"


def test_live_restore_leaves_them(house: House) -> None:
    """With --live-restore an orderly end is no end for containers."""
    house.stop()
    house.start("--live-restore")
    house.ours("run", "-d", "--name", "survivor", "busybox", "sleep", "1000")
    pid = house.inspect("survivor")["State"]["Pid"]
    house.stop()
    assert Path(f"/proc/{pid}").exists()
    house.start()
    assert house.inspect("survivor")["State"]["Pid"] == pid


def test_restart_policies(house: House) -> None:
    """on-failure counts, always comes back with the daemon, unless-stopped remembers."""
    house.ours("run", "-d", "--name", "thrice", "--restart", "on-failure:3", "busybox", "false")
    wait_for(
        lambda: house.inspect("thrice")["RestartCount"] == 3 and not house.inspect("thrice")["State"]["Restarting"]
    )
    assert house.inspect("thrice")["State"]["Status"] == "exited"
    house.ours(
        "run", "-d", "--name", "always", "--restart", "always", "--stop-signal", "KILL", "busybox", "sleep", "1000"
    )
    house.ours("run", "-d", "--name", "stopped", "--restart", "unless-stopped", "busybox", "sleep", "1000")
    house.ours("stop", "-t", "0", "stopped")
    house.stop()
    house.start()
    wait_for(lambda: house.inspect("always")["State"]["Running"])
    assert not house.inspect("stopped")["State"]["Running"]


def test_the_supervisors_death_is_reported(house: House) -> None:
    """Its containers die with it; the daemon says so, releases all, and goes on with a new one."""
    house.ours("run", "-d", "--name", "orphan", "busybox", "sleep", "1000")
    pid = house.inspect("orphan")["State"]["Pid"]
    supervisor = int(Path(f"/proc/{pid}/status").read_text().split("PPid:")[1].split()[0])
    os.kill(supervisor, signal.SIGKILL)
    wait_for(lambda: not house.inspect("orphan")["State"]["Running"])
    assert not lives(pid)
    assert house.ours("run", "--rm", "busybox", "echo", "on we go").out == "on we go\n"


def test_a_userland_proxy_outlives_its_daemon_but_not_its_container(house: House) -> None:
    """Without rules a port is served by a process: it works on without a daemon, and nobody need come to end it."""
    house.stop()
    house.start("--iptables=false")
    page = "mkdir -p /tmp/w; echo page > /tmp/w/index.html; exec httpd -f -p 80 -h /tmp/w"
    house.ours("run", "-d", "--name", "cc", "-p", "127.0.0.1:18090:80", "busybox", "sh", "-c", page)
    (door,) = (house.folder / "run/proxies").glob("*")
    with socket.socket(socket.AF_UNIX) as caller:
        caller.connect(str(door))
        proxy = os.pidfd_open(int(caller.recv(20)))
    try:
        gone = select.poll()
        gone.register(proxy, select.POLLIN)
        container = house.inspect("cc")["State"]["Pid"]
        house.kill()
        assert house.fetch("http://127.0.0.1:18090/") == "page\n"
        os.kill(container, signal.SIGKILL)
        assert gone.poll(15_000), "the proxy outlived its container"
    finally:
        os.close(proxy)
    house.start()

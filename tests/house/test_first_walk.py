"""A container goes through every box, by our own command line and by the stock one."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.house.house import REPOSITORY, House, Ran, has_docker_cli

pytestmark = pytest.mark.root


@pytest.fixture(params=["ours", "docker"])
def cli(request: pytest.FixtureRequest) -> str:
    if request.param == "docker" and not has_docker_cli():
        pytest.skip("the stock docker command line is not installed")
    return str(request.param)


def call(house: House, cli: str, *words: str, stdin: bytes = b"") -> Ran:
    ran: Ran = getattr(house, cli)(*words, stdin=stdin)
    return ran


def test_output_and_exit_code_are_the_commands_own(house: House, cli: str) -> None:
    """Through client, server, engine, jobs, graph, drivers, supervisor, libcontainer, and back."""
    ran = call(house, cli, "run", "--rm", "busybox", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (ran.code, ran.out, ran.err) == (7, "out\n", "err\n")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("run", "--rm", "busybox", "/no/such"), 127),
        (("run", "--rm", "busybox", "/etc/passwd"), 126),
        (("run", "--rm", "127.0.0.1:1/no/such", "true"), 125),
        (("run", "--rm", "--no-such-flag", "busybox", "true"), 125),
        (("inspect", "nobody"), 1),
        (("rm", "nobody"), 1),
        (("stop", "nobody"), 1),
    ],
)
def test_bad_input_gets_the_right_exit_code_and_leaves_nothing(
    house: House, cli: str, words: tuple[str, ...], code: int
) -> None:
    """And one sentence that says what was wrong."""
    ran = call(house, cli, *words)
    assert ran.code == code
    assert ran.err.strip()
    assert "Traceback" not in ran.err
    assert house.ours("ps", "-aq").out == ""


def test_a_name_is_taken_once(house: House, cli: str) -> None:
    """The error names who has it."""
    first = call(house, cli, "create", "--name", "x", "busybox", "true").out.strip()
    second = call(house, cli, "create", "--name", "x", "busybox", "true")
    assert second.code != 0
    assert first in second.err


def test_a_corrupt_image_is_refused_whole(house: House, cli: str, busybox_tar: bytes) -> None:
    """Nothing half-made becomes visible."""
    before = house.ours("images", "-aq").out
    ran = call(house, cli, "import", "-", "broken", stdin=busybox_tar[:100_000] + b"\xff" * 4096)
    assert ran.code == 1
    assert house.ours("images", "-aq").out == before


def test_the_life_of_a_container(house: House, cli: str) -> None:
    """run -d, ps, logs, inspect, stop, start, rm."""
    shell = "echo hello; while :; do sleep 0.1; done"
    id_ = call(house, cli, "run", "-d", "--name", "life", "busybox", "sh", "-c", shell).out.strip()
    assert len(id_) == 64
    assert call(house, cli, "ps", "-q", "--no-trunc").out.strip() == id_
    assert call(house, cli, "inspect", "-f", "{{.State.Status}}", "life").out.strip() == "running"
    assert call(house, cli, "rm", "life").code == 1
    assert call(house, cli, "stop", "-t", "0", "life").code == 0
    assert call(house, cli, "inspect", "-f", "{{.State.ExitCode}}", "life").out.strip() == "137"
    assert call(house, cli, "start", "life").code == 0
    assert call(house, cli, "kill", "life").code == 0
    assert call(house, cli, "wait", "life").out.strip() == "137"
    assert call(house, cli, "logs", "life").out == "hello\nhello\n"
    assert call(house, cli, "rm", "life").code == 0


def test_input_from_a_pipe(house: House, cli: str) -> None:
    """`-i` passes what we have, and its end."""
    assert call(house, cli, "run", "--rm", "-i", "busybox", "wc", "-c", stdin=b"x" * 100_000).out.strip() == "100000"


def test_exec_has_its_own_user_and_place(house: House, cli: str) -> None:
    """In the container's terms."""
    call(house, cli, "run", "-d", "--name", "host", "busybox", "sleep", "1000")
    ran = call(
        house, cli, "exec", "-u", "guest", "-w", "/tmp", "-e", "K=v", "host", "sh", "-c", "id -un; pwd; echo $K; exit 4"
    )
    assert (ran.code, ran.out) == (4, "guest\n/tmp\nv\n")


def test_a_terminal(house: House, cli: str) -> None:
    """A pty at both ends."""
    command = [sys.executable, "-m", "mini_docker"] if cli == "ours" else ["docker"]
    master, slave = pty.openpty()
    environment = {**os.environ, "DOCKER_HOST": house.host}
    client = subprocess.Popen(
        [*command, "run", "--rm", "-it", "busybox", "sh", "-c", "tty; read line; echo got $line"],
        stdin=slave, stdout=slave, stderr=slave, env=environment, cwd=REPOSITORY,
    )  # fmt: skip
    os.close(slave)
    seen = b""
    while b"/dev/pts/0" not in seen:
        seen += os.read(master, 1000)
    os.write(master, b"typed\n")
    while b"got typed" not in seen:
        seen += os.read(master, 1000)
    assert client.wait(20) == 0
    os.close(master)


def test_volumes_bind_and_named(house: House, cli: str) -> None:
    """A named one outlives its container; a read-only one refuses."""
    call(house, cli, "run", "--rm", "-v", "data:/d", "busybox", "sh", "-c", "echo kept > /d/f")
    assert call(house, cli, "run", "--rm", "-v", "data:/d", "busybox", "cat", "/d/f").out == "kept\n"
    assert call(house, cli, "run", "--rm", "-v", "data:/d:ro", "busybox", "touch", "/d/g").code == 1
    assert call(house, cli, "volume", "rm", "data").code == 0


def test_the_jobs_of_a_run(house: House) -> None:
    """All work is jobs, the nested ones included; the trace knows who ran whom."""
    house.ours("run", "--rm", "busybox", "true")
    tree = house.ours("jobs").out
    for job in (
        "create(",
        "start(",
        "attach(",
        "wait(",
        "exit(",
        "allocate_interface(",
        "release_interface(",
        "delete(",
    ):
        assert job in tree
    assert "serveapi(" in tree


def test_events_tell_the_story(house: House, cli: str) -> None:
    """In order, by name."""
    name = f"story-{cli}"
    call(house, cli, "run", "--name", name, "busybox", "true")
    call(house, cli, "rm", name)
    # The stock client sends whole seconds: what happened in this one is before the next.
    until = str(int(time.time()) + 1)
    words = ("--since", "60s", "--until", until, "--filter", f"container={name}", "--format", "{{json .}}")
    ran = call(house, cli, "events", *words)
    actions = [json.loads(line)["Action"] for line in ran.out.splitlines()]
    assert [action for action in actions if action in ("create", "start", "die", "destroy")] == [
        "create", "start", "die", "destroy",
    ]  # fmt: skip


def test_network_modes(house: House, cli: str) -> None:
    """none has loopback alone; host sees our bridge; container: shares another's."""
    links = call(house, cli, "run", "--rm", "--network", "none", "busybox", "ip", "-o", "link").out
    assert links.count("\n") == 1
    assert "mdocker0" in call(house, cli, "run", "--rm", "--network", "host", "busybox", "ip", "link").out
    call(house, cli, "run", "-d", "--name", "base", "busybox", "sleep", "1000")
    mine = house.inspect("base")["NetworkSettings"]["IPAddress"]
    assert mine in call(house, cli, "run", "--rm", "--network", "container:base", "busybox", "ip", "addr").out


def test_limits(house: House, cli: str) -> None:
    """As the container's own cgroup files show them."""
    v1 = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/pids/pids.max"
    v2 = "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max"
    limits = ("-m", "64m", "--pids-limit", "20")
    ran = call(house, cli, "run", "--rm", *limits, "busybox", "sh", "-c", f"{v1} 2>/dev/null || {v2}")
    assert ran.out == "67108864\n20\n"


def test_docker_py_works_too(house: House) -> None:
    """The other stock client."""
    docker = pytest.importorskip("docker")
    client = docker.DockerClient(base_url=house.host)
    try:
        assert client.containers.run("busybox", "echo hi", remove=True) == b"hi\n"
        container = client.containers.run("busybox", "sleep 1000", detach=True, name="py")
        assert container.exec_run("echo there").output == b"there\n"
        assert client.containers.list()[0].name == "py"
        container.remove(force=True)
    finally:
        client.close()


def test_narrate_tells_each_privileged_step(house: House) -> None:
    """Both halves of the birth, each call with its manual page; the command's own output stays apart."""
    ran = house.ours("run", "--rm", "--narrate", "busybox", "echo", "hi")
    assert (ran.code, ran.out) == (0, "hi\n")
    told = ran.err.splitlines()
    for who, call, page in (
        ("parent: ", "clone3(", "namespaces(7)"),
        ("init: ", "pivot_root('.', '.')", "pivot_root(2)"),
        ("init: ", "seccomp(", "seccomp(2)"),
        ("init: ", "capset(", "capabilities(7)"),
    ):
        assert any(line.startswith(who + call) and page in line for line in told), call


def test_a_narrated_start_that_fails_says_why(house: House) -> None:
    """With the exit code of a start that is not narrated."""
    ran = house.ours("run", "--rm", "--narrate", "busybox", "/no/such")
    assert ran.code == 127
    assert 'exec: "/no/such": stat /no/such: no such file or directory' in ran.err


@pytest.mark.skipif(not has_docker_cli(), reason="the stock docker command line is not installed")
def test_a_dockerfile_becomes_an_image(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each instruction becomes jobs; the second build takes all from the cache; a RUN's failure is the client's."""
    monkeypatch.setenv("DOCKER_BUILDKIT", "0")
    (tmp_path / "page").write_text("a page\n")
    (tmp_path / "Dockerfile").write_text(
        "FROM busybox AS first\nARG WHO=world\nENV HI=hello\nRUN echo $HI $WHO > /greet\n"
        "FROM busybox\nCOPY --from=first /greet /greet\nCOPY page /www/\nWORKDIR /www\nCMD cat /greet page\n"
    )
    first = house.docker("build", "-t", "built", "--build-arg", "WHO=you", str(tmp_path))
    assert first.code == 0
    assert "Successfully tagged built:latest" in first.out
    assert house.docker("run", "--rm", "built").out == "hello you\na page\n"
    again = house.docker("build", "-t", "built", "--build-arg", "WHO=you", str(tmp_path))
    assert again.out.count("Using cache") == 6
    assert again.out.splitlines()[-2] == first.out.splitlines()[-2]
    (tmp_path / "Dockerfile").write_text("FROM busybox\nRUN exit 3\n")
    failed = house.docker("build", str(tmp_path))
    assert failed.code == 3
    assert "returned a non-zero code: 3" in failed.err
    assert house.ours("ps", "-aq").out == ""
    tree = house.ours("jobs").out
    for job in ("build(", "commit(", "container_extract(", "container_copy("):
        assert job in tree


def test_shared_memory_of_another_container(house: House, cli: str) -> None:
    """``--ipc=container:`` shares what programs share memory by: the IPC namespace, and the files of /dev/shm."""
    shell = "echo first > /dev/shm/word; sleep 1000"
    assert call(house, cli, "run", "-d", "--name", "donor", "--ipc=shareable", "busybox", "sh", "-c", shell).code == 0
    shell = "until cat /dev/shm/word; do :; done; echo second > /dev/shm/word; readlink /proc/self/ns/ipc"
    joined = call(house, cli, "run", "--rm", "--ipc=container:donor", "busybox", "sh", "-c", f"{shell} 2>/dev/null")
    namespace = os.readlink(f"/proc/{house.inspect('donor')['State']['Pid']}/ns/ipc")
    assert joined.out.split() == ["first", namespace]
    assert call(house, cli, "exec", "donor", "cat", "/dev/shm/word").out == "second\n"


def test_an_exec_that_cannot_begin_says_why(house: House, cli: str) -> None:
    """To an attached client on the process's error output, with a shell's exit code."""
    assert call(house, cli, "run", "-d", "--name", "one", "busybox", "sleep", "1000").code == 0
    for words, code, said in (
        (("one", "no-such"), 127, "no-such"),
        (("one", "/etc"), 126, "/etc"),
        (("-u", "nobody2", "one", "id"), 126, "nobody2"),
    ):  # fmt: skip
        ran = call(house, cli, "exec", *words)
        assert (ran.code, said in ran.err) == (code, True), ran


def test_the_small_init_tells_nothing_of_the_host(house: House) -> None:
    """What is not replaced by the command lives beside it, and shows neither our folders nor our variables."""
    shell = "cat /proc/1/comm; tr '\\0' ' ' < /proc/1/cmdline; tr -d '\\0' < /proc/1/environ"
    ran = house.ours("run", "--rm", "--init", "--cap-add", "SYS_PTRACE", "busybox", "sh", "-c", shell)
    assert ran.out.split() == ["mini-init", "mini-init"]


def test_privileged_beside_others(house: House, cli: str) -> None:
    """It has the host's devices and all capabilities; who is started right after it has none of that."""
    shell = "test -e /dev/kmsg && test -c /dev/ptmx && mount -t tmpfs none /tmp && echo free"
    assert call(house, cli, "run", "--rm", "--privileged", "busybox", "sh", "-c", shell).out == "free\n"
    confined = call(house, cli, "run", "--rm", "busybox", "sh", "-c", "test -e /dev/kmsg || mount -t tmpfs none /tmp")
    assert (confined.code, "denied" in confined.err or "permitted" in confined.err) == (1, True), confined
    tty = call(house, cli, "run", "--rm", "--privileged", "-t", "busybox", "tty")
    assert tty.out.strip() == "/dev/pts/0", tty

"""The life of a container under mini-runc, command by command, as an engine goes through it."""

from __future__ import annotations

import array
import json
import os
import pty
import select
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.runc.runc_bench import SECONDS, RuncBench

pytestmark = pytest.mark.root


def wait_for_status(bench: RuncBench, id_: str, status: str) -> dict[str, Any]:
    """The state once it has that status; an init that ends needs a moment."""
    deadline = time.monotonic() + SECONDS
    while (state := bench.state(id_))["status"] != status:
        assert time.monotonic() < deadline, state
        time.sleep(0.02)
    return state


def test_create_start_delete(mini_runc: RuncBench) -> None:
    """Created is not started; what start lets go runs; delete gives everything back."""
    id_ = mini_runc.create(mini_runc.config("sh", "-c", "echo started; exit 3"))
    state = mini_runc.state(id_)
    assert (state["status"], state["ociVersion"], state["id"]) == ("created", "1.2.0", id_)
    assert Path(f"/proc/{state['pid']}").exists()
    assert mini_runc.output(id_) == ""
    mini_runc.good("start", id_)
    assert wait_for_status(mini_runc, id_, "stopped")["pid"] == 0
    assert mini_runc.output(id_) == "started\n"
    mini_runc.good("delete", id_)
    assert b"does not exist" in mini_runc.call("state", id_).stderr


def test_the_creator_may_die(mini_runc: RuncBench) -> None:
    """Nobody of ours is left between create and start: the parked init has another parent then."""
    id_ = mini_runc.create(mini_runc.config("sleep", "1000"))
    pid = mini_runc.state(id_)["pid"]
    mini_runc.good("start", id_)
    assert mini_runc.state(id_)["status"] == "running"
    assert mini_runc.state(id_)["pid"] == pid
    mini_runc.good("kill", id_, "KILL")
    wait_for_status(mini_runc, id_, "stopped")


@pytest.mark.parametrize("code", [0, 7])
def test_run_gives_the_commands_exit_code(mini_runc: RuncBench, code: int) -> None:
    """And leaves nothing."""
    done = mini_runc.run(mini_runc.config("sh", "-c", f"echo out; echo err >&2; exit {code}"))
    assert (done.returncode, done.stdout, done.stderr) == (code, b"out\n", b"err\n")
    assert mini_runc.good("list", "--quiet") == b""


def test_standard_input_reaches_the_command(mini_runc: RuncBench) -> None:
    """The streams are handed on, not copied."""
    assert mini_runc.run(mini_runc.config("cat"), input=b"to and fro").stdout == b"to and fro"


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("nope", b"executable file not found in $PATH"),
        ("/no/such", b"no such file"),
        ("/etc/passwd", b"permission denied"),
    ],
)
def test_a_command_that_cannot_be_executed_fails_the_create(mini_runc: RuncBench, command: str, words: bytes) -> None:
    """At create, where the engine listens: at start it would be too late. Nothing is left of it."""
    id_, path = mini_runc.bundle(mini_runc.config(command))
    done = mini_runc.call("create", "--bundle", path, id_)
    assert done.returncode == 1
    assert words in done.stderr
    assert mini_runc.good("list", "--quiet") == b""


def test_states_that_forbid(mini_runc: RuncBench) -> None:
    """Each operation has its states; the others are refused and change nothing."""
    id_ = mini_runc.create(mini_runc.config("sleep", "1000"))
    assert mini_runc.call("create", "--bundle", str(mini_runc.folder / id_), id_).returncode == 1
    mini_runc.good("start", id_)
    assert b"is running, not created" in mini_runc.call("start", id_).stderr
    assert b"not stopped: running" in mini_runc.call("delete", id_).stderr
    assert b"not paused" in mini_runc.call("resume", id_).stderr
    mini_runc.good("kill", id_, "9")
    wait_for_status(mini_runc, id_, "stopped")
    assert mini_runc.call("kill", id_, "TERM").stderr.endswith(b'msg="container not running"\n')
    assert b"unknown signal" in mini_runc.call("kill", id_, "SIGNOPE").stderr
    assert b"is stopped" in mini_runc.call("exec", id_, "true").stderr
    mini_runc.good("delete", id_)
    assert mini_runc.call("delete", id_).returncode == 1
    mini_runc.good("delete", "--force", id_)


def test_pause_and_resume(mini_runc: RuncBench) -> None:
    """A paused container is neither running nor gone, and even then it can be killed."""
    id_ = mini_runc.create(mini_runc.config("sleep", "1000"))
    mini_runc.good("start", id_)
    mini_runc.good("pause", id_)
    assert mini_runc.state(id_)["status"] == "paused"
    assert b"paused" in mini_runc.call("exec", id_, "true").stderr
    mini_runc.good("resume", id_)
    assert mini_runc.state(id_)["status"] == "running"
    mini_runc.good("pause", id_)
    mini_runc.good("delete", "--force", id_)


def test_exec(mini_runc: RuncBench) -> None:
    """Beside init, with its own user, environment, directory and exit code."""
    id_ = mini_runc.create(mini_runc.config("sleep", "1000"))
    mini_runc.good("start", id_)
    done = mini_runc.call(
        "exec",
        "--user",
        "1000:10",
        "--cwd",
        "/tmp",
        "--env",
        "A=b",
        id_,
        "sh",
        "-c",
        "id -u; id -g; pwd; echo $A; exit 5",
    )
    assert (done.returncode, done.stdout) == (5, b"1000\n10\n/tmp\nb\n")
    assert mini_runc.call("exec", id_, "nope").returncode == 255
    process = mini_runc.folder / "process.json"
    process.write_text(json.dumps({"args": ["hostname"], "cwd": "/", "env": ["PATH=/bin"]}))
    assert mini_runc.good("exec", "--process", str(process), id_) == b"mini-runc\n"
    pid_file = mini_runc.folder / "exec.pid"
    subprocess.run(
        [mini_runc.command, "--root", str(mini_runc.folder / "state"), "exec", "--detach", "--pid-file", str(pid_file),
         id_, "sleep", "1000"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True, timeout=SECONDS,
    )  # fmt: skip
    pids = json.loads(mini_runc.good("ps", "--format", "json", id_))
    assert sorted(pids) == sorted([mini_runc.state(id_)["pid"], int(pid_file.read_text())])


def test_only_preserved_descriptors_reach_the_command(mini_runc: RuncBench) -> None:
    """CVE-2024-21626 was a leaked descriptor: what is not asked for is closed, what is asked for is there."""
    config = mini_runc.config("sh", "-c", "ls /proc/self/fd | tr '\\n' ' '; cat <&3")
    kept = mini_runc.folder / "kept"
    kept.write_text("kept")
    id_, path = mini_runc.bundle(config)
    shell = f'exec "$@" 3<{kept} 4<{kept} 9<{kept}'
    words = ("--root", str(mini_runc.folder / "state"), "run", "--bundle", path, "--preserve-fds", "1", id_)
    done = subprocess.run(
        ["sh", "-c", shell, "sh", mini_runc.command, *words], capture_output=True, timeout=SECONDS, check=False
    )
    assert done.stdout == b"0 1 2 3 4 kept", done.stderr  # 4 is ls's own
    assert b"descriptor 3 is not open" in mini_runc.run(config, "--preserve-fds", "1").stderr


def test_a_terminal_goes_to_the_console_socket(mini_runc: RuncBench) -> None:
    """The master's descriptor travels over a socket to whoever will relay it."""
    config = mini_runc.config("sh", "-c", "tty; stty size")
    config["process"].update(terminal=True, consoleSize={"height": 31, "width": 97})
    path = str(mini_runc.folder / "console.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(1)
        id_ = mini_runc.create(config, "--console-socket", path)
        channel, _ = listener.accept()
        numbers = array.array("i")
        with channel:
            _, ancillary, _, _ = channel.recvmsg(100, socket.CMSG_LEN(numbers.itemsize))
        numbers.frombytes(ancillary[0][2])
        master = numbers[0]
    mini_runc.good("start", id_)
    assert b"".join(read_terminal(master)) == b"/dev/pts/0\r\n31 97\r\n"
    os.close(master)
    assert (
        b"without setting console socket"
        in mini_runc.call("create", "--bundle", str(mini_runc.folder / id_), "x").stderr
    )


def read_terminal(master: int) -> Iterator[bytes]:
    """What comes out of a terminal until its last holder is gone."""
    while select.select([master], [], [], SECONDS)[0]:
        try:
            data = os.read(master, 1 << 16)
        except OSError:
            return
        if not data:
            return
        yield data


def test_a_terminal_in_the_foreground(mini_runc: RuncBench) -> None:
    """Bytes pass both ways, and the size is that of the terminal outside."""
    config = mini_runc.config("sh", "-c", "tty; read line; echo got $line; exit 4")
    config["process"]["terminal"] = True
    id_, path = mini_runc.bundle(config)
    master, slave = pty.openpty()
    running = subprocess.Popen(
        [mini_runc.command, "--root", str(mini_runc.folder / "state"), "run", "--bundle", path, id_],
        stdin=slave, stdout=slave, stderr=slave,
    )  # fmt: skip
    os.close(slave)
    os.write(master, b"hello\r")
    out = b"".join(read_terminal(master))
    os.close(master)
    assert running.wait(SECONDS) == 4
    assert b"/dev/pts/0" in out
    assert b"got hello" in out


def test_the_pid_file_and_the_log(mini_runc: RuncBench) -> None:
    """An engine reads init's pid from a file, and the reason of a failure from the log, as JSON."""
    pid_file = mini_runc.folder / "pid"
    id_ = mini_runc.create(mini_runc.config("true"), "--pid-file", str(pid_file))
    assert int(pid_file.read_text()) == mini_runc.state(id_)["pid"]
    log = mini_runc.folder / "log.json"
    assert mini_runc.call("--log", str(log), "--log-format", "json", "start", "nobody").returncode == 1
    entry = json.loads(log.read_text())
    assert (entry["level"], entry["msg"]) == ("error", "container nobody does not exist")


def test_all_processes_end_with_the_container(mini_runc: RuncBench) -> None:
    """Also where they share the host's pid namespace and init's end does not take them along."""
    config = mini_runc.config("sh", "-c", "sleep 1000 & sleep 1000 & wait")
    config["linux"]["namespaces"] = [{"type": kind} for kind in ("mount", "ipc", "uts", "network")]
    id_ = mini_runc.create(config)
    mini_runc.good("start", id_)
    deadline = time.monotonic() + SECONDS
    while len(pids := json.loads(mini_runc.good("ps", "--format", "json", id_))) < 3:
        assert time.monotonic() < deadline
    mini_runc.good("delete", "--force", id_)
    assert not [pid for pid in pids if Path(f"/proc/{pid}/exe").exists()]


HOOK = r"""#!/bin/sh
status=$(tr ',' '\n' | sed -n 's/.*"status": "\(.*\)"/\1/p')
echo "$1 $status $(readlink /proc/self/ns/uts)" >> {log}
exit $2
"""


OUTSIDE = ("prestart", "createRuntime", "poststart", "poststop")


def add_hooks(bench: RuncBench, config: dict[str, Any], failing: str = "") -> Path:
    """A hook of every kind that notes its name, the status it was told and where it ran; returns the notes' file."""
    log = bench.folder / "hooks.log"
    script = bench.folder / "hook"
    script.write_text(HOOK.format(log=log))
    script.chmod(0o755)
    config["hooks"] = {
        kind: [{"path": str(script), "args": ["hook", kind, "3" if kind == failing else "0"]}]
        for kind in (*OUTSIDE, "createContainer")
    }
    note = "grep -o 'status[^,]*' >/tmp/start-hook"
    config["hooks"]["startContainer"] = [{"path": "/bin/sh", "args": ["sh", "-c", note]}]
    return log


def test_hooks_run_at_their_times_in_their_places(mini_runc: RuncBench) -> None:
    """Six kinds: four on the runtime's side, two inside; each is told the state of that moment."""
    config = mini_runc.config("cat", "/tmp/start-hook")
    log = add_hooks(mini_runc, config)
    done = mini_runc.run(config)
    assert done.stdout == b'status": "created"\n', done.stderr
    notes = [line.split() for line in log.read_text().splitlines()]
    assert [note[:2] for note in notes] == [
        ["prestart", "creating"], ["createRuntime", "creating"], ["createContainer", "creating"],
        ["poststart", "running"], ["poststop", "stopped"],
    ]  # fmt: skip
    here = os.readlink("/proc/self/ns/uts")
    assert [note[2] == here for note in notes] == [True, True, False, True, True]


@pytest.mark.parametrize("failing", ["prestart", "createRuntime", "createContainer"])
def test_a_failing_hook_undoes_the_birth(mini_runc: RuncBench, failing: str) -> None:
    """The container never was; only poststop is told."""
    config = mini_runc.config("true")
    log = add_hooks(mini_runc, config, failing)
    id_, path = mini_runc.bundle(config)
    done = mini_runc.call("create", "--bundle", path, id_)
    assert done.returncode == 1
    assert f"{failing} hook #0".encode() in done.stderr
    assert log.read_text().splitlines()[-1].split()[0] == "poststop"
    assert mini_runc.good("list", "--quiet") == b""


def test_poststart_and_poststop_only_warn(mini_runc: RuncBench) -> None:
    """The command runs already, or has run: there is nothing to undo."""
    for failing in ("poststart", "poststop"):
        config = mini_runc.config("true")
        add_hooks(mini_runc, config, failing)
        done = mini_runc.run(config)
        assert done.returncode == 0
        assert f'level=warning msg="{failing} hook'.encode() in done.stderr


def test_a_hook_that_takes_too_long(mini_runc: RuncBench) -> None:
    """Its timeout counts."""
    config = mini_runc.config("true")
    config["hooks"] = {"prestart": [{"path": "/bin/sleep", "args": ["sleep", "1000"], "timeout": 1}]}
    assert b"took longer than 1 s" in mini_runc.run(config).stderr


def test_the_interpreter_is_sealed(mini_runc: RuncBench) -> None:
    """CVE-2019-5736: a container must not reach a python that can be written through /proc/1/exe."""
    id_ = mini_runc.create(mini_runc.config("true"))
    pid = mini_runc.state(id_)["pid"]
    assert os.readlink(f"/proc/{pid}/exe").startswith("/memfd:python3")
    with pytest.raises(OSError, match=r"busy|permitted"):
        os.close(os.open(f"/proc/{pid}/exe", os.O_WRONLY))


def test_tmpfs_begins_with_what_it_covers(mini_runc: RuncBench) -> None:
    """tmpcopyup: podman asks for it with every --tmpfs."""
    config = mini_runc.config("sh", "-c", "cat /etc/passwd | head -1; echo more >> /etc/passwd; ls -n /etc | wc -l")
    config["mounts"].append({"destination": "/etc", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup"]})
    before = (mini_runc.rootfs / "etc/passwd").read_text()
    assert mini_runc.run(config).stdout.startswith(b"root:x:0:0")
    assert (mini_runc.rootfs / "etc/passwd").read_text() == before


def test_a_user_namespace(mini_runc: RuncBench) -> None:
    """Root inside is nobody outside: its files, its processes and its powers are those of the mapped user."""
    shell = "id -u; cat /proc/self/uid_map; echo x > /dev/null; touch /tmp/v/mine; sleep 1000"
    config = mini_runc.config("sh", "-c", shell)
    config["linux"]["namespaces"].append({"type": "user"})
    maps = [{"containerID": 0, "hostID": 100000, "size": 1000}]
    config["linux"].update(uidMappings=maps, gidMappings=maps)
    volume = mini_runc.folder / "volume"
    volume.mkdir()
    os.chown(volume, 100000, 100000)
    for folder in (mini_runc.folder, *mini_runc.folder.parents[:1], mini_runc.rootfs, *mini_runc.rootfs.parents[:2]):
        folder.chmod(0o755)
    config["mounts"].append({"destination": "/tmp/v", "type": "bind", "source": str(volume), "options": ["rbind"]})
    id_ = mini_runc.create(config)
    mini_runc.good("start", id_)
    deadline = time.monotonic() + SECONDS
    while not (volume / "mine").exists():
        assert time.monotonic() < deadline, mini_runc.output(id_)
    assert (volume / "mine").stat().st_uid == 100000
    status = Path(f"/proc/{mini_runc.state(id_)['pid']}/status").read_text()
    assert "Uid:\t100000\t100000" in status
    assert mini_runc.good("exec", id_, "id", "-u") == b"0\n"
    mini_runc.good("delete", "--force", id_)
    assert mini_runc.output(id_).split() == ["0", "0", "100000", "1000"]


def test_a_time_namespace(mini_runc: RuncBench) -> None:
    """The container's clock since boot may be ahead of the machine's, as after a migration."""
    config = mini_runc.config("cat", "/proc/uptime")
    config["linux"]["namespaces"].append({"type": "time"})
    config["linux"]["timeOffsets"] = {"boottime": {"secs": 1000000}}
    uptime = float(mini_runc.run(config).stdout.split()[0])
    here = float(Path("/proc/uptime").read_text().split()[0])
    assert uptime == pytest.approx(here + 1000000, abs=60)


@pytest.mark.parametrize(
    ("propagation", "seen_outside", "seen_inside"),
    [("rshared", True, True), ("rslave", False, True), ("rprivate", False, False)],
)
def test_volumes_share_mounts_as_they_are_told(
    mini_runc: RuncBench, propagation: str, seen_outside: bool, seen_inside: bool
) -> None:
    """Shared: both ways. Slave: what the host mounts later arrives. Private: neither."""
    volume = mini_runc.folder / "volume"
    volume.mkdir()
    go = mini_runc.folder / "go"
    go.mkdir()
    shell = (
        "mkdir /tmp/v/inner && mount -t tmpfs mine /tmp/v/inner; touch /tmp/go/mounted;"
        " until [ -e /tmp/go/outer ]; do sleep 0.01; done; grep -c /tmp/v/outer /proc/self/mountinfo"
    )
    config = mini_runc.config("sh", "-c", shell)
    config["linux"]["rootfsPropagation"] = propagation
    for name in ("bounding", "effective", "permitted"):
        config["process"]["capabilities"][name] = ["CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE"]
    for target, source, how in (("/tmp/v", volume, propagation), ("/tmp/go", go, "rprivate")):
        config["mounts"].append(
            {"destination": target, "type": "bind", "source": str(source), "options": ["rbind", how]}
        )
    id_, path = mini_runc.bundle(config)
    outside = (
        f"mount -t tmpfs theirs {volume} && mount --make-shared {volume} && mkdir {volume}/outer;"
        f' "$@" & until [ -e {go}/mounted ]; do sleep 0.01; done; grep -c {volume}/inner /proc/self/mountinfo;'
        f" mount -t tmpfs late {volume}/outer; touch {go}/outer; wait"
    )
    words = (mini_runc.command, "--root", str(mini_runc.folder / "state"), "run", "--bundle", path, id_)
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", outside, "sh", *words], capture_output=True, timeout=SECONDS, check=False
    )
    assert [int(word) > 0 for word in done.stdout.split()] == [seen_outside, seen_inside], done.stderr

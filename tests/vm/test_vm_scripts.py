"""The scripts of `vm/`: what they say when there can be no machine, and one round trip through a real one."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
NO_MACHINE = 125


def run(*command: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """A script of the checkout's, with this environment laid over ours."""
    return subprocess.run(
        [CHECKOUT / command[0], *command[1:]],
        env={**os.environ, **(environment or {})}, capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip


def pretended(folder: Path, **programs: str) -> dict[str, str]:
    """An environment in which these programs do something else: a name and the shell's words for it."""
    for name, words in programs.items():
        program = folder / name.replace("_", "-")
        program.write_text(f"#!/bin/sh\n{words}\n")
        program.chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}"}


def the_sentence(done: subprocess.CompletedProcess[str]) -> str:
    """What was said, which must be one line."""
    assert done.stdout == ""
    (sentence,) = done.stderr.splitlines()
    return sentence


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "no command was given"),
        (("--timeout", "soon", "true"), "--timeout wants whole seconds, not 'soon'"),
        (("--memory", "0", "true"), "--memory wants mebibytes, not '0'"),
        (("--results",), "--results wants a value"),
        (("--fast", "true"), "unknown option --fast"),
    ],
)
def test_words_that_make_no_sense(words: tuple[str, ...], said: str) -> None:
    """125 is nobody's exit status: what the command inside would say can't be mistaken for it."""
    done = run("vm/run", *words)
    assert done.returncode == NO_MACHINE
    assert said in the_sentence(done)


@pytest.mark.parametrize("script", ["vm/run", "vm/build-image", "vm/build-box"])
def test_another_processor(script: str, tmp_path: Path) -> None:
    """Images are built of the machine's own packages; on others the public box does the same."""
    done = run(
        script, *(["true"] if script == "vm/run" else []), environment=pretended(tmp_path, uname="echo Linux aarch64")
    )
    assert done.returncode == NO_MACHINE
    assert "amd64 only" in the_sentence(done) and "vagrant up" in the_sentence(done)


def test_no_emulator_and_no_root_to_install_it(tmp_path: Path) -> None:
    """Who can't install a package is told which one is missing."""
    programs = pretended(tmp_path, uname="echo Linux x86_64", dpkg_query="exit 1", id="echo 1000")
    for name in ("bash", "env", "dirname", "readlink", "grep", "apt-get"):
        (tmp_path / name).symlink_to(f"/usr/bin/{name}")
    done = run("vm/run", "true", environment={**programs, "PATH": str(tmp_path)})
    assert done.returncode == NO_MACHINE
    assert the_sentence(done).endswith("installing them needs root: qemu-system-x86")


def test_a_cache_that_cannot_be_written(tmp_path: Path) -> None:
    """The sentence names the folder and the variable that names another."""
    (tmp_path / "file").touch()
    environment = {**pretended(tmp_path, uname="echo Linux x86_64"), "MINI_DOCKER_VM_CACHE": str(tmp_path / "file/vm")}
    done = run("vm/build-image", environment=environment)
    assert done.returncode == NO_MACHINE
    assert str(tmp_path / "file/vm") in the_sentence(done) and "MINI_DOCKER_VM_CACHE" in the_sentence(done)


def test_a_machine_without_sources_of_debian(tmp_path: Path) -> None:
    """Another distribution's machine has no archive of Debian 12: its owner names one."""
    programs = pretended(tmp_path, apt_get="exit 0")
    source = f". {CHECKOUT}/vm/common.sh; debian_sources bookworm"
    done = subprocess.run(
        ["bash", "-c", source], env={**os.environ, **programs}, capture_output=True, text=True, check=False
    )
    assert done.returncode == NO_MACHINE
    assert "MINI_DOCKER_VM_SOURCES" in the_sentence(done)
    told = {**os.environ, **programs, "MINI_DOCKER_VM_SOURCES": "deb http://archive.example/debian bookworm main"}
    done = subprocess.run(["bash", "-c", source], env=told, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == told["MINI_DOCKER_VM_SOURCES"]


@pytest.mark.parametrize(
    ("programs", "said"),
    [({"id": "echo 1000"}, "run it with sudo"), ({"id": "echo 0"}, "does not run systemd")],
)
def test_provisioning_in_the_wrong_place(programs: dict[str, str], said: str, tmp_path: Path) -> None:
    """It changes a whole machine, so it first makes sure that it may and can."""
    if Path("/run/systemd/system").exists():
        pytest.skip("this machine runs systemd: provisioning could begin")
    done = run("vm/provision", environment=pretended(tmp_path, **programs))
    assert done.returncode == 1
    assert said in the_sentence(done)


@pytest.mark.vagrant
@pytest.mark.skipif(
    os.environ.get("MINI_DOCKER_TEST_VAGRANT") != "1",
    reason="takes a virtual machine: run 'sudo script/test-vagrant'; CI runs vm/suite",
)
def test_a_round_trip(tmp_path: Path) -> None:
    """In: a command and the checkout. Out: output in the order it was written, the results, the exit status."""
    script = "echo one; echo two >&2; test -x vm/run; id -u; cat /proc/self/cgroup; echo kept >$RESULTS/file; exit 7"
    done = run("vm/run", "--results", str(tmp_path / "out"), "sh", "-c", script)
    assert (done.returncode, done.stdout.splitlines()) == (7, ["one", "two", "0", "0::/init.scope"])
    assert (tmp_path / "out/file").read_text() == "kept\n"


@pytest.mark.vagrant
@pytest.mark.skipif(
    os.environ.get("MINI_DOCKER_TEST_VAGRANT") != "1",
    reason="takes a virtual machine: run 'sudo script/test-vagrant'; CI runs vm/suite",
)
def test_a_command_that_never_ends() -> None:
    """124, as timeout(1) has it, and one sentence."""
    done = run("vm/run", "--timeout", "20", "sleep", "1000")
    assert done.returncode == 124
    assert "not done after 20 seconds" in the_sentence(done)

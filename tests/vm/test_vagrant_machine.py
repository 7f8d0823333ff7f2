"""The machine that `vagrant up` makes, driven for real: what a workshop's learner does, in one life of a machine.

`script/test-vagrant` starts this with libvirt, our own box and an emulated processor. The tests are the chapters of
that life: they run in the order in which they stand.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.vagrant,
    pytest.mark.skipif(
        os.environ.get("MINI_DOCKER_TEST_VAGRANT") != "1",
        reason="takes a real Vagrant machine and ten minutes: run 'sudo script/test-vagrant'",
    ),
]

CHECKOUT = Path(__file__).parents[2]


class Machine:
    """One Vagrant machine of our Vagrantfile."""

    def __init__(self) -> None:
        import vagrant

        self.vagrant = vagrant.Vagrant(root=str(CHECKOUT), quiet_stdout=False, quiet_stderr=False)

    def ssh(self, command: str) -> str:
        """What a command prints in the machine, run as its user.

        Raises:
            subprocess.CalledProcessError: it failed; its exit code is the error's.
        """
        output = str(self.vagrant.ssh(command=command))
        print(output)
        return output

    def provision(self) -> subprocess.CompletedProcess[str]:
        """The provisioning script, run again, and what it prints."""
        return subprocess.run(["vagrant", "provision"], cwd=CHECKOUT, check=False, capture_output=True, text=True)

    def upload(self, file: str, place: str) -> None:
        """Copy a file into the machine."""
        subprocess.run(["vagrant", "upload", file, place], cwd=CHECKOUT, check=True)

    @property
    def state(self) -> str:
        return str(self.vagrant.status()[0].state)


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    """A machine that is up; destroyed at the end, come what may."""
    made = Machine()
    try:
        made.vagrant.up()
        yield made
    finally:
        made.vagrant.destroy()


def test_up_makes_a_machine_in_which_the_daemon_answers(machine: Machine) -> None:
    """One command from nothing to a running daemon, for a user who is not root."""
    assert machine.state == "running"
    assert machine.ssh("systemctl is-active mini-docker.service").strip() == "active"
    assert "Server" in machine.ssh("mini-docker version")
    assert machine.ssh("stat -fc %T /sys/fs/cgroup").strip() == "cgroup2fs"


def test_the_first_container_greets(machine: Machine) -> None:
    """The first line of every course, without any network."""
    assert "Hello from mini-docker!" in machine.ssh("mini-docker run --rm hello-world")


def test_an_exit_code_comes_through(machine: Machine) -> None:
    """Container, daemon, client, ssh, Vagrant: the code is the command's own."""
    with pytest.raises(subprocess.CalledProcessError) as failure:
        machine.ssh("mini-docker run --rm busybox sh -c 'exit 7'")
    assert failure.value.returncode == 7


def test_the_stock_client_drives_our_daemon(machine: Machine) -> None:
    """Docker's own command line, for which our socket is a daemon's like any other."""
    client = shutil.which("docker")
    if client is None:
        pytest.skip("the stock client is not installed here (docker.io), to be copied into the machine")
    machine.upload(client, "/tmp/docker")
    docker = "DOCKER_HOST=unix:///run/mini-docker.sock /tmp/docker"
    assert "Server: mini_docker" in machine.ssh(f"{docker} version")
    assert "Hello from mini-docker!" in machine.ssh(f"{docker} run --rm hello-world")
    machine.ssh(f"{docker} run -d --name stock busybox sleep 100000")
    assert "stock" in machine.ssh(f"{docker} ps")
    assert machine.ssh(f"{docker} exec stock hostname").strip() in machine.ssh(
        f"{docker} inspect -f '{{{{.Id}}}}' stock"
    )
    with pytest.raises(subprocess.CalledProcessError) as failure:
        machine.ssh(f"{docker} run --rm busybox sh -c 'exit 7'")
    assert failure.value.returncode == 7
    machine.ssh(f"{docker} rm -f stock")


def test_provisioning_again_changes_nothing(machine: Machine) -> None:
    """It installs only what is missing, so that it can be called whenever in doubt; nothing is restarted."""
    started = machine.ssh("systemctl show -p ActiveEnterTimestampMonotonic mini-docker.service")
    done = machine.provision()
    assert done.returncode == 0
    assert "everything is in place, nothing was changed" in done.stdout
    assert machine.ssh("systemctl show -p ActiveEnterTimestampMonotonic mini-docker.service") == started


def test_containers_outlive_a_restart_of_the_daemon(machine: Machine) -> None:
    """KillMode=process: systemd ends the daemon alone; the next one finds its containers by their pids."""
    machine.ssh("mini-docker run -d --name steady busybox sleep 100000")
    before = machine.ssh("mini-docker inspect -f '{{.State.Pid}}' steady").strip()
    machine.ssh("sudo systemctl restart mini-docker.service")
    assert (
        machine.ssh("mini-docker inspect -f '{{.State.Status}} {{.State.Pid}}' steady").strip() == f"running {before}"
    )
    machine.ssh("mini-docker rm -f steady")


def test_the_socket_starts_the_daemon(machine: Machine) -> None:
    """Socket activation: a client that comes while no daemon runs waits a moment and is served."""
    machine.ssh("sudo systemctl stop mini-docker.service")
    assert "Server" in machine.ssh("mini-docker version")


def test_the_doctor_is_content(machine: Machine) -> None:
    """What Debian's kernel has is all that is needed; cgroup v2 and device mapper included."""
    report = machine.ssh("sudo mini-docker doctor")
    assert "All that is needed is there." in report
    assert re.search(r"yes +version +v2", report)


def test_the_exec_driver_keeps_its_contract_in_there(machine: Machine) -> None:
    """The same suite as everywhere, on this kernel and under systemd's cgroups."""
    said = machine.ssh(
        "cd /vagrant && sudo PYTHON=/opt/mini-docker/bin/python"
        " vm/guest-suite tests/drivers/execdriver/test_execdriver_native.py"
    )
    assert re.search(r"\d+ passed", said)
    assert "failed" not in said


def test_it_comes_back_after_a_halt(machine: Machine) -> None:
    """Images, containers and the daemon are there again after the machine was off; restart policies are kept."""
    machine.ssh("mini-docker run -d --restart always --name faithful busybox sleep 100000")
    machine.vagrant.halt()
    assert machine.state in ("poweroff", "shutoff")
    machine.vagrant.up()
    assert machine.ssh("mini-docker inspect -f '{{.State.Status}}' faithful").strip() == "running"
    machine.ssh("mini-docker rm -f faithful")


def test_a_missing_package_without_a_network_is_one_sentence(machine: Machine) -> None:
    """The machine has no way out: what provisioning would install is named, and where it could come from."""
    machine.ssh("sudo dpkg --purge --force-depends dmsetup >/dev/null")
    done = machine.provision()
    assert done.returncode != 0
    (sentence,) = [line for line in (done.stdout + done.stderr).splitlines() if "vm/provision:" in line]
    assert "the archive is not in reach: dmsetup (vm/build-box bakes them into a box" in sentence
    assert "E:" not in done.stdout + done.stderr


def test_destroy_leaves_no_machine(machine: Machine) -> None:
    """The end of the course."""
    machine.vagrant.destroy()
    assert machine.state == "not_created"

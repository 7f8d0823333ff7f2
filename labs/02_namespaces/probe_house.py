"""A whole Docker with your code in it: its supervisor gives birth by your functions, and the containers say where they are."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from mini_docker.lab.house import House

pytestmark = [pytest.mark.skipif(os.geteuid() != 0, reason="runs containers: needs root")]
KINDS = ("pid", "mnt", "uts", "ipc", "net")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One daemon for all questions."""
    with House(tmp_path_factory.mktemp("house")) as made:
        yield made


def links(house: House, *words: str) -> dict[str, str]:
    """The namespaces of a container's command, as it sees them itself."""
    script = "; ".join(f"readlink /proc/self/ns/{kind}" for kind in KINDS)
    return dict(zip(KINDS, house.run("run", "--rm", *words, "busybox", "sh", "-c", script).split(), strict=True))


def test_a_container_has_namespaces_of_its_own(house: House) -> None:
    """Every kind that Docker makes new differs from the host's and from a neighbour's."""
    nonce = secrets.token_hex(6)
    assert house.run("run", "--rm", "--hostname", nonce, "busybox", "sh", "-c", "echo $$ $(hostname)") == f"1 {nonce}\n"
    # The neighbour lives on meanwhile: the number of a namespace that is gone is given again.
    house.run("run", "-d", "--name", nonce, "busybox", "sleep", "60")
    neighbour = int(house.run("inspect", "-f", "{{.State.Pid}}", nonce))
    shown = links(house)
    others = {kind: {os.readlink(f"/proc/{pid}/ns/{kind}") for pid in ("self", neighbour)} for kind in KINDS}
    house.run("rm", "-f", nonce)
    assert not {kind: shown[kind] for kind in KINDS if shown[kind] in others[kind]}


def test_a_container_may_share_anothers_network(house: House) -> None:
    """--net container:NAME joins one namespace and makes all others new."""
    name = f"host-{secrets.token_hex(4)}"
    house.run("run", "-d", "--name", name, "busybox", "sleep", "60")
    pid = int(house.run("inspect", "-f", "{{.State.Pid}}", name))
    guest = links(house, "--net", f"container:{name}")
    assert guest["net"] == os.readlink(f"/proc/{pid}/ns/net")
    assert guest["pid"] != os.readlink(f"/proc/{pid}/ns/pid")
    house.run("rm", "-f", name)


def test_a_further_process_is_born_inside(house: House) -> None:
    """exec: the process that joins sees the container's processes, and the host sees both in one namespace."""
    name, nonce = f"c-{secrets.token_hex(4)}", secrets.token_hex(6)
    house.run("run", "-d", "--name", name, "busybox", "sleep", "60")
    pid = int(house.run("inspect", "-f", "{{.State.Pid}}", name))
    said = house.run("exec", name, "sh", "-c", f"echo {nonce}; readlink /proc/self/ns/pid").split()
    house.run("rm", "-f", name)
    assert said == [nonce, said[1]] and said[1] != os.readlink("/proc/self/ns/pid")
    assert not Path(f"/proc/{pid}").exists()


def test_it_was_your_code_that_ran_in_the_supervisor() -> None:
    """The sheet that each function signs when it runs, in whatever process: the signer is not this one."""
    sheet = os.environ.get("MINI_DOCKER_OVERLAY_PROOF")
    if sheet is None:
        pytest.skip("no overlay: our own code is asked")
    signed = dict(line.split() for line in Path(sheet).read_text().splitlines()[1:])
    signers = {int(signed[f"mini_docker.libcontainer.{name}"]) for name in ("namespaces:plan", "parent:Parent._clone")}
    assert 0 not in signers and os.getpid() not in signers

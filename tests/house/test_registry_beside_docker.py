"""Our registry in earnest: by TLS, with tickets, under our daemon and Docker's side by side; and in a container.

Both daemons stand in one host, so both see the registry at one address that neither trusts by itself.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mini_docker.registry.server.passwords import new_line
from tests.authority import ADDRESS, make_authority
from tests.house.house import REPOSITORY, House, Ran, has_docker_cli
from tests.house.test_network_beside_docker import DockerdHouse
from tests.registry.tiny_registry import wait_until

pytestmark = pytest.mark.root
HOST = f"{ADDRESS}:5000"


@dataclass
class Side:
    """A daemon with a command line in front of it."""

    house: House
    command: str

    def run(self, *words: str, stdin: bytes = b"") -> Ran:
        ran: Ran = getattr(self.house, self.command)(*words, stdin=stdin)
        return ran

    def ask(self, *words: str, stdin: bytes = b"") -> str:
        """What a command that must succeed prints."""
        ran = self.run(*words, stdin=stdin)
        assert ran.code == 0, f"{words}: {ran.err}"
        return ran.out.strip()

    def refused(self, *words: str, stdin: bytes = b"") -> str:
        """What a command that must fail says."""
        ran = self.run(*words, stdin=stdin)
        assert ran.code != 0, f"{words}: {ran.out}"
        return ran.err

    def image(self, name: str) -> str:
        return self.ask("inspect", "-f", "{{.Id}}", name)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def registry(house: House, authority: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Runs it in the house's host; gives the folder that the house sees as ``/etc/docker``, empty."""
    folder = tmp_path_factory.mktemp("registry")
    (folder / "users").write_text(new_line("ann", "secret") + "\n")
    (folder / "etc").mkdir()
    Path("/etc/docker").mkdir(exist_ok=True)
    for command in (
        ["ip", "address", "add", f"{ADDRESS}/32", "dev", "lo"],
        ["mount", "--bind", str(folder / "etc"), "/etc/docker"],
    ):
        subprocess.run(house.inside(*command), check=True)
    command = [
        sys.executable, "-m", "mini_docker", "registry", "--addr", HOST, "--root", str(folder / "root"),
        "--tlscert", str(authority / "server.pem"), "--tlskey", str(authority / "server.key"),
        "--tlscacert", str(authority / "ca.pem"), "--htpasswd", str(folder / "users"), "--auth", "token",
        "--anonymous-pull",
    ]  # fmt: skip
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(house.inside(*command), cwd=REPOSITORY, stderr=log)
    try:
        wait_until(lambda: b"listening" in (folder / "log").read_bytes(), 20)
        yield folder / "etc"
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        subprocess.run(house.inside("umount", "/etc/docker"), check=True)


@pytest.fixture(scope="module")
def certs(registry: Path, authority: Path) -> Path:
    """``/etc/docker/certs.d/<host:port>``, as the manual has it."""
    folder = registry / "certs.d" / HOST
    folder.mkdir(parents=True)
    shutil.copy(authority / "ca.pem", folder / "ca.crt")
    shutil.copy(authority / "client.pem", folder / "client.cert")
    shutil.copy(authority / "client.key", folder / "client.key")
    return folder


@pytest.fixture(scope="module")
def dockerd(house: House, registry: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerdHouse]:
    if not has_docker_cli() or shutil.which("dockerd", path="/usr/sbin:/usr/bin") is None:
        pytest.skip("dockerd and its command line are not installed")
    theirs = DockerdHouse(tmp_path_factory.mktemp("dockerd"), ("--bridge=none", "--iptables=false"))
    theirs.namespaces = house.namespaces
    try:
        theirs.start()
        yield theirs
    finally:
        if theirs.daemon is not None:
            theirs.stop()


@pytest.fixture(params=["ours", "stock", "dockerd"])
def side(request: pytest.FixtureRequest, house: House) -> Side:
    """Our daemon with our command line and with the stock one, and Docker's with its own."""
    if request.param == "dockerd":
        return Side(request.getfixturevalue("dockerd"), "docker")
    if request.param == "stock" and not has_docker_cli():
        pytest.skip("the stock docker command line is not installed")
    return Side(house, "docker" if request.param == "stock" else "ours")


def test_who_knows_no_certificate_is_not_fooled(registry: Path, authority: Path, side: Side) -> None:
    """Without the authority the registry might be anybody; with it alone we might."""
    folder = registry / "certs.d" / HOST
    assert not folder.exists()
    assert "x509: certificate" in side.refused("pull", f"{HOST}/me/box:1")
    folder.mkdir(parents=True)
    try:
        shutil.copy(authority / "ca.pem", folder / "ca.crt")
        assert "certificate required" in side.refused("pull", f"{HOST}/me/box:1").lower()
    finally:
        shutil.rmtree(folder.parent)


def test_the_login_dance(certs: Path, side: Side) -> None:
    """Strangers may look; whoever shows a password gets a token to keep, and may push until the logout."""
    config = side.house.folder / "config" / "config.json"
    config.unlink(missing_ok=True)
    name = f"{HOST}/me/dance:1"
    assert "not found: manifest unknown" in side.refused("pull", f"{HOST}/no/such:1")
    side.ask("import", "-", name, stdin=tar(b"dance"))
    assert "denied: requested access to the resource is denied" in side.refused("push", name)
    login = ("login", "-u", "ann", "--password-stdin", HOST)
    assert "incorrect username or password" in side.refused(*login, stdin=b"wrong\n")
    assert "Login Succeeded" in side.ask(*login, stdin=b"secret\n")
    assert json.loads(config.read_text())["auths"][HOST]["identitytoken"]
    assert "secret" not in config.read_text()
    assert "digest: sha256:" in side.ask("push", name)
    assert "Removing login" in side.ask("logout", HOST)
    assert "denied" in side.refused("push", name)
    side.ask("rmi", name)


def test_every_pair(certs: Path, house: House, dockerd: DockerdHouse) -> None:
    """What one daemon pushes the other pulls: one digest, one image id, by tag, by digest and by all tags."""
    sides = [Side(house, "docker"), Side(dockerd, "docker")]
    for side in sides:
        side.ask("login", "-u", "ann", "--password-stdin", HOST, stdin=b"secret\n")
    for number, (pusher, puller) in enumerate([sides, sides[::-1]]):
        repository = f"{HOST}/me/pair{number}"
        for tag in ("1", "2"):
            pusher.ask("import", "-c", f"CMD {tag}", "-", f"{repository}:{tag}", stdin=tar(tag.encode() * 100_000))
        ids = {tag: pusher.image(f"{repository}:{tag}") for tag in ("1", "2")}
        said = pusher.ask("push", "-a", repository)
        digests = {tag: pusher.ask("inspect", "-f", "{{index .RepoDigests 0}}", f"{repository}:{tag}") for tag in ids}
        assert all(digest.partition("@")[2] in said for digest in digests.values())
        assert "Layer already exists" in pusher.ask("push", f"{repository}:1")
        puller.ask("pull", "-a", repository)
        assert {tag: puller.image(f"{repository}:{tag}") for tag in ids} == ids
        assert puller.ask("inspect", "-f", "{{index .RepoDigests 0}}", f"{repository}:1") == digests["1"]
        puller.ask("rmi", f"{repository}:1")
        puller.ask("pull", digests["1"])
        assert puller.image(digests["1"]) == ids["1"]
        assert "Mounted from" in _pushed_elsewhere(pusher, f"{repository}:1", f"{HOST}/you/pair{number}:1")
    for side in sides:
        side.ask("logout", HOST)


def _pushed_elsewhere(side: Side, name: str, other: str) -> str:
    side.ask("tag", name, other)
    return side.ask("push", other)


def test_in_a_container(house: House, tmp_path: Path) -> None:
    """The image of the registry is made of this machine's Python, runs in a container, and keeps its volume."""
    ours = Side(house, "ours")
    environment = {**os.environ, "DOCKER_HOST": house.host}
    made = subprocess.run(
        [REPOSITORY / "script/registry-image"], check=False, capture_output=True, text=True, env=environment
    )
    assert made.returncode == 0, made.stderr
    (tmp_path / "users").write_text(new_line("ann", "secret") + "\n")
    run = (
        "run", "-d", "--name", "registry", "-p", "127.0.0.1:5001:5000", "-v", "registry:/var/lib/mini-docker-registry",
        "-v", f"{tmp_path}:/auth:ro", "mini-docker-registry", "--addr", "0.0.0.0:5000",
        "--htpasswd", "/auth/users", "--auth", "token",
    )  # fmt: skip
    ours.ask(*run)
    wait_until(lambda: "listening on" in ours.run("logs", "registry").err, 20)
    name = "127.0.0.1:5001/me/box:1"
    ours.ask("tag", "busybox", name)
    ours.ask("login", "-u", "ann", "--password-stdin", "127.0.0.1:5001", stdin=b"secret\n")
    ours.ask("push", name)
    ours.ask("rm", "-f", "registry")
    ours.ask(*run)
    wait_until(lambda: "listening on" in ours.run("logs", "registry").err, 20)
    ours.ask("rmi", name)
    ours.ask("pull", name)
    assert ours.image(name) == ours.image("busybox")
    assert ours.ask("run", "--rm", "--net", "none", name, "echo", "hi") == "hi"
    assert "removed 0 manifests" in ours.ask("exec", "registry", "/bin/python3", "-m", "mini_docker", "registry",
                                             "garbage-collect")  # fmt: skip
    ours.ask("stop", "registry")
    assert ours.ask("inspect", "-f", "{{.State.ExitCode}}", "registry") == "0", "SIGTERM ends it in order"
    ours.ask("rm", "-f", "registry")
    ours.ask("rmi", name, "mini-docker-registry")
    ours.ask("volume", "rm", "registry")


def tar(content: bytes) -> bytes:
    """One file, as a tar."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo("file")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()

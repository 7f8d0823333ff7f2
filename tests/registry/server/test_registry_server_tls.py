"""Our registry by TLS: one folder of certificates, in Docker's layout, serves our client, skopeo and podman alike."""

from __future__ import annotations

import base64
import json
import shutil
import signal
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from mini_docker.errors import MiniDockerError, NotFound, Unavailable
from mini_docker.http.tls import server_context
from mini_docker.registry.endpoints import RegistryConfig
from mini_docker.registry.server.access import TokenAccess
from mini_docker.registry.server.passwords import Passwords
from mini_docker.registry.server.tickets import TicketOffice
from tests.authority import client_context, make_authority
from tests.registry.debian_registry import free_port
from tests.registry.image_fixture import ImageFixture
from tests.registry.podman import podman
from tests.registry.pull_bench import PullBench
from tests.registry.server.own_registry import OwnRegistry, own_registry
from tests.registry.tiny_registry import wait_until


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(params=[False, True], ids=["server-certificate", "client-certificates-too"])
def both(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def registry(authority: Path, tmp_path: Path, both: bool) -> Iterator[OwnRegistry]:
    tls = server_context(authority / "server.pem", authority / "server.key", authority / "ca.pem" if both else None)
    with own_registry(tmp_path / "registry", tls=tls) as running:
        yield running


@pytest.fixture
def certs(authority: Path, tmp_path: Path, registry: OwnRegistry, both: bool) -> Path:
    """``certs.d/<host:port>`` as users of Docker make it."""
    folder = tmp_path / "certs.d" / registry.host
    folder.mkdir(parents=True)
    shutil.copy(authority / "ca.pem", folder / "ca.crt")
    if both:
        shutil.copy(authority / "client.pem", folder / "client.cert")
        shutil.copy(authority / "client.key", folder / "client.key")
    return folder


def strict(folder: Path, certs: Path) -> PullBench:
    """A daemon for which loopback is not insecure: it looks addresses up in a book that lacks it."""
    config = RegistryConfig(certs_folder=certs, resolve=lambda host: ["203.0.113.1"])
    return PullBench(folder, config)


def fill(bench: PullBench, name: str, image: ImageFixture) -> None:
    """Let the daemon have the image, from a registry beside."""
    with own_registry(bench.root / "beside") as beside:
        beside.push("me/app", "1", image)
        bench.pull(f"{beside.host}/me/app", "1")
    bench.tags.set(name, "1", image.id)


def test_our_client(registry: OwnRegistry, certs: Path, image: ImageFixture, tmp_path: Path) -> None:
    """Push and pull with the folder; without it neither, and the sentence says why."""
    name = f"{registry.host}/me/app"
    one = PullBench(tmp_path / "one")
    fill(one, name, image)
    lines = _pushed(one, strict(tmp_path / "pusher", certs.parent), name)
    assert lines[-1]["aux"]["Digest"] == image.digest
    two = strict(tmp_path / "two", certs.parent)
    two.pull(name, "1")
    assert two.tags.get(name, "1") == image.id
    with pytest.raises(Unavailable, match="x509: certificate"):
        strict(tmp_path / "three", tmp_path / "nothing").pull(name, "1")


def _pushed(owner: PullBench, pusher: PullBench, name: str) -> list[dict[str, dict[str, str]]]:
    """Push *owner*'s image under the trust of *pusher*."""
    owner.registry.config = pusher.registry.config
    return owner.push(name, "1")


def test_who_has_no_certificate_is_not_served(authority: Path, tmp_path: Path, image: ImageFixture) -> None:
    """Where client certificates are asked for, the authority alone does not open the door."""
    tls = server_context(authority / "server.pem", authority / "server.key", authority / "ca.pem")
    with own_registry(tmp_path / "registry", tls=tls) as registry:
        folder = tmp_path / "certs.d" / registry.host
        folder.mkdir(parents=True)
        shutil.copy(authority / "ca.pem", folder / "ca.crt")
        with pytest.raises(MiniDockerError, match=r"(?i)certificate required"):
            strict(tmp_path / "one", folder.parent).pull(f"{registry.host}/me/app", "1")


def test_certificates_count_at_once(authority: Path, tmp_path: Path, image: ImageFixture) -> None:
    """A daemon that was refused is let in when its folder has been filled, and shut out when it is emptied."""
    tls = server_context(authority / "server.pem", authority / "server.key")
    with own_registry(tmp_path / "registry", tls=tls) as registry:
        name = f"{registry.host}/me/app"
        daemon = strict(tmp_path / "daemon", tmp_path / "certs.d")
        with pytest.raises(Unavailable, match="x509: certificate"):
            daemon.pull(name, "1")
        folder = tmp_path / "certs.d" / registry.host
        folder.mkdir(parents=True)
        shutil.copy(authority / "ca.pem", folder / "ca.crt")
        with pytest.raises(NotFound):
            daemon.pull(name, "1")
        (folder / "ca.crt").unlink()
        with pytest.raises(Unavailable, match="x509: certificate"):
            daemon.pull(name, "1")


def test_skopeo_and_podman(registry: OwnRegistry, certs: Path, image: ImageFixture, tmp_path: Path) -> None:
    """The same folder is their --cert-dir; digests are equal on every way."""
    name = f"{registry.host}/me/app"
    one = PullBench(tmp_path / "one")
    fill(one, name, image)
    _pushed(one, strict(tmp_path / "pusher", certs.parent), name)
    with podman() as theirs:
        assert theirs.pull(f"{name}:1", "--cert-dir", str(certs)) == image.id
        pushed = theirs.push(f"{name}:1", f"{name}:2", "--cert-dir", str(certs))
        assert pushed == registry.storage.tag("me/app", "2")
    if shutil.which("skopeo") is None:
        pytest.skip("skopeo is not installed")
    there = ["skopeo", "copy", "-q", "--dest-cert-dir", str(certs), "--src-cert-dir", str(certs)]
    done = subprocess.run([*there, f"docker://{name}:1", f"docker://{name}:3"], check=False, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert registry.storage.tag("me/app", "3") == image.digest


def test_the_ticket_office_is_reached_by_tls_too(authority: Path, tmp_path: Path, image: ImageFixture) -> None:
    """The challenge names an https address: a password never travels in the clear."""
    passwords = Passwords({"ann": Passwords({}).hash("secret", "$2b$04$abcdefghijklmnopqrstuu")})
    access = TokenAccess(passwords, TicketOffice(b"k" * 32), anonymous_pull=False, scheme="https")
    tls = server_context(authority / "server.pem", authority / "server.key")
    with own_registry(tmp_path / "registry", access, tls=tls) as registry:
        folder = tmp_path / "certs.d" / registry.host
        folder.mkdir(parents=True)
        shutil.copy(authority / "ca.pem", folder / "ca.crt")
        name = f"{registry.host}/me/app"
        one = PullBench(tmp_path / "one")
        fill(one, name, image)
        one.registry.config = RegistryConfig(certs_folder=folder.parent, resolve=lambda host: ["203.0.113.1"])
        ann = base64.urlsafe_b64encode(json.dumps({"username": "ann", "password": "secret"}).encode()).decode()
        one.push(name, "1", **{"X-Registry-Auth": ann})
        assert registry.storage.tag("me/app", "1") == image.digest


def test_the_command(authority: Path, tmp_path: Path) -> None:
    """--tlscert and --tlskey; half of a pair is refused with a reason."""
    program = [sys.executable, "-m", "mini_docker.registry.server", "--root", str(tmp_path / "root")]
    host = f"127.0.0.1:{free_port()}"
    pair = ["--tlscert", str(authority / "server.pem"), "--tlskey", str(authority / "server.key")]
    process = subprocess.Popen([*program, "--addr", host, *pair], stderr=subprocess.PIPE)
    try:
        wait_until(lambda: _answers(f"https://{host}/v2/", client_context(authority)), 10)
    finally:
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=10)
    assert process.returncode == 0 and b"by TLS" in said
    for flags, reason in (
        (pair[:2], "--tlscert and --tlskey go together"),
        (["--tlscacert", str(authority / "ca.pem")], "--tlscacert needs --tlscert and --tlskey"),
        ([*pair[:3], str(authority / "client.key")], "cannot use the certificate"),
    ):
        refused = subprocess.run([*program, "--addr", host, *flags], check=False, capture_output=True, text=True)
        assert refused.returncode == 1 and reason in refused.stderr


def _answers(url: str, context: ssl.SSLContext) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1, context=context) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False

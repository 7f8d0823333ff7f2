"""Our registry with other people's clients, our client with other people's registry: every pair, digests equal."""

from __future__ import annotations

import io
import json
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import pytest

from mini_docker.http.connection import Application
from mini_docker.http.listeners import listen
from mini_docker.http.messages import Request
from mini_docker.http.responder import Responder
from mini_docker.http.server import HttpServer
from mini_docker.registry.reference import Reference
from mini_docker.registry.upload import Blob, Outcome, push_blob
from tests.registry.cutting_proxy import CuttingProxy
from tests.registry.debian_registry import answers, debian_registry, fill, free_port
from tests.registry.image_fixture import ImageFixture, digest, make_image
from tests.registry.pull_bench import PullBench
from tests.registry.server.own_registry import OwnRegistry
from tests.registry.tiny_registry import wait_until


def skopeo(*arguments: str) -> str:
    if shutil.which("skopeo") is None:
        pytest.skip("skopeo is not installed")
    done = subprocess.run(["skopeo", *arguments], check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def inspect(host: str, name: str) -> str:
    return str(json.loads(skopeo("inspect", "--tls-verify=false", f"docker://{host}/{name}"))["Digest"])


def test_skopeo_copies_from_debians_registry_to_ours_and_back(
    registry: OwnRegistry, image: ImageFixture, tmp_path: Path
) -> None:
    """A stranger's client, two registries: the digest is the same everywhere."""
    with debian_registry(tmp_path) as theirs:
        fill(theirs, "me/app", "1", image)
        flags = ("--src-tls-verify=false", "--dest-tls-verify=false")
        skopeo("copy", *flags, f"docker://{theirs}/me/app:1", f"docker://{registry.host}/me/app:1")
        skopeo("copy", *flags, f"docker://{registry.host}/me/app:1", f"docker://{theirs}/back/app:1")
        assert inspect(theirs, "back/app:1") == inspect(registry.host, "me/app:1") == image.digest
    skopeo("delete", "--tls-verify=false", f"docker://{registry.host}/me/app:1")
    assert registry.ask("GET", "/v2/me/app/manifests/1").status == 404


def test_our_client_and_our_registry(registry: OwnRegistry, image: ImageFixture, tmp_path: Path) -> None:
    """Pull, push under another name, pull elsewhere: the same image id and digest."""
    registry.push("me/app", "1", image)
    one = PullBench(tmp_path / "one")
    one.pull(f"{registry.host}/me/app", "1")
    one.tags.set(f"{registry.host}/you/app", "2", image.id)
    lines = one.push(f"{registry.host}/you/app", "2")
    assert lines[-1]["aux"]["Digest"] == image.digest
    assert [line["status"] for line in lines if line.get("status", "").startswith("Mounted")] == [
        "Mounted from me/app"
    ] * 2
    two = PullBench(tmp_path / "two")
    two.pull(f"{registry.host}/you/app", "2")
    assert two.tags.get(f"{registry.host}/you/app", "2") == image.id


def test_a_cut_upload_is_resumed_where_it_broke(registry: OwnRegistry, tmp_path: Path) -> None:
    """Our registry remembers how far an upload came: only the rest is sent again."""
    with CuttingProxy(registry.host) as proxy:
        bench = PullBench(tmp_path / "bench")
        image = make_image({"b": bytes(range(256)) * 2000}, level=0)
        with bench.graph.lease():
            bench.graph.add_layer(None, io.BytesIO(image.layers[0]))
            bench.tags.set(f"{proxy.address}/me/app", "1", bench.graph.register(image.config).id)
        proxy.cut_requests_after(300_000)
        bench.push(f"{proxy.address}/me/app", "1")
        assert proxy.cuts == 1
        assert proxy.sent < len(image.layers[0]) + 100_000
    assert registry.ask("GET", "/v2/me/app/manifests/1").body == image.manifest


def test_the_command(tmp_path: Path) -> None:
    """`mini-docker registry` serves, says what it needs, and ends by SIGTERM with exit code 0."""
    program = [sys.executable, "-m", "mini_docker.registry.server"]
    host = f"127.0.0.1:{free_port()}"
    process = subprocess.Popen([*program, "--addr", host, "--root", str(tmp_path / "root")], stderr=subprocess.PIPE)
    try:
        wait_until(lambda: answers(f"http://{host}/v2/"), 10)
        second = subprocess.run(
            [*program, "--addr", host, "--root", str(tmp_path / "two")], check=False, capture_output=True, text=True
        )
        assert second.returncode == 1
        assert "in use" in second.stderr
    finally:
        process.send_signal(signal.SIGTERM)
        _, _ = process.communicate(timeout=10)
    assert process.returncode == 0
    swept = subprocess.run(
        [*program, "garbage-collect", "--root", str(tmp_path / "root")], check=False, capture_output=True, text=True
    )
    assert swept.stdout == "removed 0 manifests, 0 blobs and 0 uploads: 0 bytes\n"
    nowhere = subprocess.run(
        [*program, "garbage-collect", "--root", str(tmp_path / "typo")], check=False, capture_output=True, text=True
    )
    assert nowhere.returncode == 1 and "no registry keeps anything in" in nowhere.stderr
    assert not (tmp_path / "typo").exists()
    assert subprocess.run([*program, "--help"], check=False, capture_output=True).returncode == 0


def test_a_small_blob_travels_whole_and_a_lost_answer_is_no_loss(registry: OwnRegistry, tmp_path: Path) -> None:
    """HEAD, POST, PUT; and when the answer to the PUT is lost, HEAD says that it had arrived."""
    asked: list[str] = []

    def losing(request: Request, responder: Responder) -> None:
        asked.append(request.method)
        if asked.count("PUT") == 1 and request.method == "PUT":
            registry.application(request, cast(Responder, Deaf()))
            raise ConnectionResetError
        registry.application(request, responder)

    bench = PullBench(tmp_path / "bench")
    data = b"small"
    with losing_registry(losing) as host:
        session = bench.registry.session(Reference.parse(f"{host}/me/app"), push=True)
        blob = Blob(digest(data), len(data), lambda: io.BytesIO(data))
        assert push_blob(session, blob) is Outcome.PUSHED
        assert push_blob(session, blob) is Outcome.EXISTED
    assert asked == ["GET", "HEAD", "POST", "PUT", "HEAD", "HEAD"]
    assert registry.ask("GET", f"/v2/me/app/blobs/{digest(data)}").body == data


class Deaf:
    """A responder that says nothing."""

    started, status = False, 0

    def answer(self, answer: object) -> None:
        pass


@contextmanager
def losing_registry(application: Application) -> Iterator[str]:
    server = HttpServer(application)
    listener = listen(["tcp://127.0.0.1:0"])[0]
    thread = threading.Thread(target=server.serve, args=([listener], 1.0))
    thread.start()
    try:
        yield f"127.0.0.1:{listener.socket.getsockname()[1]}"
    finally:
        server.stop()
        thread.join(5)

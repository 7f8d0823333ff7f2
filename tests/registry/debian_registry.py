"""Debian's docker-registry on loopback, for tests that compare with the real thing."""

from __future__ import annotations

import shutil
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError, URLError

import pytest

from tests.registry.image_fixture import ImageFixture
from tests.registry.tiny_registry import wait_until


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@contextmanager
def debian_registry(folder: Path, extra: str = "") -> Iterator[str]:
    """Run it while the block lasts; yields ``127.0.0.1:<port>``. Skips when it is not installed."""
    if shutil.which("docker-registry") is None:
        pytest.skip("docker-registry is not installed")
    host = f"127.0.0.1:{free_port()}"
    config = folder / "registry.yml"
    config.write_text(
        f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {folder}/store}}, "
        f"delete: {{enabled: true}}}}\nhttp: {{addr: {host}}}\n{extra}"
    )
    with (folder / "registry.log").open("wb") as log:
        process = subprocess.Popen(["docker-registry", "serve", str(config)], stdout=log, stderr=log)
    try:
        wait_until(lambda: answers(f"http://{host}/v2/"), 10)
        yield host
    finally:
        process.terminate()
        process.wait(10)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1):
            return True
    except HTTPError:
        return True
    except (URLError, OSError):
        return False


def put(host: str, path: str, data: bytes, content_type: str) -> None:
    request = urllib.request.Request(f"http://{host}/v2/{path}", data, {"Content-Type": content_type}, method="PUT")
    with urllib.request.urlopen(request):
        pass


def fill(host: str, repository: str, tag: str, image: ImageFixture) -> None:
    """Push *image* by plain HTTP, with none of our code."""
    for digest, data in image.blobs.items():
        start = urllib.request.Request(f"http://{host}/v2/{repository}/blobs/uploads/", b"", method="POST")
        with urllib.request.urlopen(start) as answer:
            location = answer.headers["Location"]
        if location.startswith("/"):
            location = f"http://{host}{location}"
        url = f"{location}{'&' if '?' in location else '?'}digest={digest}"
        # urllib would call it a form, and the registry would look for the digest in there.
        headers = {"Content-Type": "application/octet-stream"}
        with urllib.request.urlopen(urllib.request.Request(url, data, headers, method="PUT")):
            pass
    put(host, f"{repository}/manifests/{tag}", image.manifest, image.media_type)

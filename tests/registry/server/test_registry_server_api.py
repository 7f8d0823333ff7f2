"""Our registry, request by request, against the distribution specification."""

from __future__ import annotations

import errno
import json
import os
import socket
import threading
from pathlib import Path

import pytest

from mini_docker.http.limits import Limits
from mini_docker.media_types import OCI_CONFIG, OCI_INDEX, OCI_MANIFEST
from mini_docker.registry.manifest import LARGEST_MANIFEST
from mini_docker.registry.server.uploads import Uploads
from tests.registry.image_fixture import ImageFixture, digest, make_image
from tests.registry.server.own_registry import Answered, OwnRegistry, own_registry

DATA = bytes(range(256)) * 100


@pytest.fixture
def image() -> ImageFixture:
    return make_image({"a": b"1"}, {"b": b"2" * 5000})


def code(answer: Answered) -> str:
    return str(json.loads(answer.body)["errors"][0]["code"])


def test_base(registry: OwnRegistry) -> None:
    """end-1: clients find out here that a registry is here."""
    answer = registry.ask("GET", "/v2/")
    assert (answer.status, answer.headers["Docker-Distribution-Api-Version"]) == (200, "registry/2.0")


@pytest.mark.parametrize(
    ("method", "path", "status", "expected"),
    [
        ("GET", "/v3/", 404, "UNSUPPORTED"),
        ("DELETE", "/v2/", 405, "UNSUPPORTED"),
        ("GET", "/v2/Me/App/tags/list", 400, "NAME_INVALID"),
        ("GET", "/v2/a/../b/tags/list", 400, "NAME_INVALID"),
        ("GET", "/v2/a/_tags/tags/list", 400, "NAME_INVALID"),
        ("GET", "/v2/a/blobs/sha256:..%2f..%2fx", 404, "UNSUPPORTED"),
        ("GET", "/v2/a/blobs/sha256:1", 400, "DIGEST_INVALID"),
        ("GET", "/v2/a/blobs/sha256:" + "0" * 64, 404, "BLOB_UNKNOWN"),
        ("GET", "/v2/a/manifests/..", 400, "TAG_INVALID"),
        ("GET", "/v2/a/manifests/latest", 404, "MANIFEST_UNKNOWN"),
        ("GET", "/v2/a/tags/list", 404, "NAME_UNKNOWN"),
        ("PATCH", "/v2/a/blobs/uploads/../../x", 404, "UNSUPPORTED"),
        ("PATCH", "/v2/a/blobs/uploads/0", 404, "BLOB_UPLOAD_UNKNOWN"),
        ("DELETE", "/v2/a/blobs/sha256:" + "0" * 64, 404, "BLOB_UNKNOWN"),
        ("GET", "/token", 404, "UNSUPPORTED"),
    ],
)
def test_refusals_have_the_tables_codes(
    registry: OwnRegistry, method: str, path: str, status: int, expected: str
) -> None:
    """Clients decide by code and status; and no name or digest leads out of the root folder."""
    answer = registry.ask(method, path)
    assert (answer.status, code(answer)) == (status, expected)


def test_a_blob_in_one_piece_and_back(registry: OwnRegistry) -> None:
    """end-4b, end-2: what is put is got, with its digest; HEAD says the same without the bytes."""
    name = registry.push_blob("me/app", DATA)
    got = registry.ask("GET", f"/v2/me/app/blobs/{name}")
    assert (got.status, got.body, got.headers["Docker-Content-Digest"]) == (200, DATA, name)
    head = registry.ask("HEAD", f"/v2/me/app/blobs/{name}")
    assert (head.status, head.body, head.headers["Content-Length"]) == (200, b"", str(len(DATA)))


def test_a_blob_belongs_to_its_repository(registry: OwnRegistry) -> None:
    """Law: knowing a digest is not enough to read another repository's blob."""
    name = registry.push_blob("me/app", DATA)
    assert registry.ask("GET", f"/v2/you/app/blobs/{name}").status == 404


def begin(registry: OwnRegistry, repository: str = "me/app") -> str:
    answer = registry.ask("POST", f"/v2/{repository}/blobs/uploads/")
    assert answer.status == 202
    return answer.headers["Location"]


def test_a_blob_in_chunks(registry: OwnRegistry) -> None:
    """end-5, end-6, end-13: pieces in order; one that is out of order is told where to go on."""
    location = begin(registry)
    first = registry.ask("PATCH", location, DATA[:1000], {"Content-Range": "0-999"})
    assert (first.status, first.headers["Range"]) == (202, "0-999")
    wrong = registry.ask("PATCH", location, DATA[2000:], {"Content-Range": f"2000-{len(DATA) - 1}"})
    assert (wrong.status, wrong.headers["Range"], wrong.headers["Location"]) == (416, "0-999", location)
    assert registry.ask("GET", location).headers["Range"] == "0-999"
    done = registry.ask("PUT", location, DATA[1000:], {"Content-Range": f"1000-{len(DATA) - 1}"}, digest=digest(DATA))
    assert (done.status, done.headers["Location"]) == (201, f"/v2/me/app/blobs/{digest(DATA)}")
    assert registry.ask("GET", done.headers["Location"]).body == DATA
    assert registry.ask("GET", location).status == 404


def test_wrong_content_is_not_stored(registry: OwnRegistry) -> None:
    """Law: a blob's name is true, or the blob is not there."""
    location = begin(registry)
    answer = registry.ask("PUT", location, b"other", digest=digest(DATA))
    assert (answer.status, code(answer)) == (400, "DIGEST_INVALID")
    assert registry.ask("HEAD", f"/v2/me/app/blobs/{digest(DATA)}").status == 404
    assert list((registry.storage.root / "uploads").iterdir()) == []


def test_an_upload_survives_a_broken_connection_and_a_restart(tmp_path: Path) -> None:
    """What came before the break is kept, and a new server knows the upload."""
    with own_registry(tmp_path) as registry:
        location = begin(registry)
        host, _, port = registry.host.partition(":")
        with socket.create_connection((host, int(port))) as raw:
            raw.sendall(
                f"PATCH {location} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(DATA)}\r\n\r\n".encode() + DATA[:5000]
            )
            raw.shutdown(socket.SHUT_WR)
            raw.recv(1000)
    with own_registry(tmp_path) as registry:
        assert registry.ask("GET", location).headers["Range"] == "0-4999"
        done = registry.ask("PUT", location, DATA[5000:], digest=digest(DATA))
        assert done.status == 201


def test_an_upload_can_be_cancelled_and_belongs_to_its_repository(registry: OwnRegistry) -> None:
    """DELETE frees the space; another repository's name does not reach it."""
    location = begin(registry)
    assert registry.ask("GET", location.replace("me/app", "you/app")).status == 404
    assert registry.ask("DELETE", location).status == 204
    assert registry.ask("PATCH", location, b"x").status == 404


def test_mount(registry: OwnRegistry) -> None:
    """end-11: a blob that another repository has is taken over without a byte sent; one it lacks begins an upload."""
    name = registry.push_blob("me/app", DATA)
    mounted = registry.ask("POST", "/v2/you/app/blobs/uploads/", **{"mount": name, "from": "me/app"})
    assert mounted.status == 201
    assert registry.ask("GET", f"/v2/you/app/blobs/{name}").body == DATA
    other = registry.ask("POST", "/v2/you/app/blobs/uploads/", **{"mount": digest(b"?"), "from": "me/app"})
    assert other.status == 202


@pytest.mark.parametrize(
    ("header", "status", "expected"),
    [
        ("bytes=0-9", 206, DATA[:10]), ("bytes=25590-", 206, DATA[25590:]), ("bytes=-5", 206, DATA[-5:]),
        ("bytes=0-99999", 200, DATA), ("bytes=0-1,5-6", 200, DATA), ("lines=1-2", 200, DATA), ("bytes=-", 200, DATA),
        ("bytes=25600-", 416, None), ("bytes=9-3", 416, None),
    ],
)  # fmt: skip
def test_ranges(registry: OwnRegistry, header: str, status: int, expected: bytes | None) -> None:
    """RFC 9110, 14: one range is served, what is not understood is ignored, what is outside is refused."""
    name = registry.push_blob("me/app", DATA)
    answer = registry.ask("GET", f"/v2/me/app/blobs/{name}", headers={"Range": header})
    assert answer.status == status
    if expected is not None:
        assert answer.body == expected


def test_conditional_requests(registry: OwnRegistry, image: ImageFixture) -> None:
    """Who has it already gets 304 and no bytes: content under a digest never changes."""
    registry.push("me/app", "1", image)
    for path in (f"/v2/me/app/blobs/{image.id}", "/v2/me/app/manifests/1"):
        etag = registry.ask("GET", path).headers["ETag"]
        for said in (etag, f'"x", W/{etag}', etag.strip('"'), "*"):
            again = registry.ask("GET", path, headers={"If-None-Match": said})
            assert (again.status, again.body) == (304, b"")
        assert registry.ask("GET", path, headers={"If-None-Match": '"sha256:0"'}).status == 200


def test_a_range_of_other_content_is_not_sent(registry: OwnRegistry) -> None:
    """If-Range: who has a part of something else needs the whole."""
    name = registry.push_blob("me/app", DATA)
    for condition, status in ((f'"{name}"', 206), ('"sha256:0"', 200)):
        headers = {"Range": "bytes=10-", "If-Range": condition}
        assert registry.ask("GET", f"/v2/me/app/blobs/{name}", headers=headers).status == status


def test_a_chunk_that_lies_about_its_length_is_refused(registry: OwnRegistry) -> None:
    """What range and length say must agree, before a byte is taken; then the upload goes on."""
    location = begin(registry)
    lies = (("0-5", 400, "SIZE_INVALID"), ("5-0", 416, "RANGE_INVALID"), ("x", 416, "RANGE_INVALID"))
    for said, status, expected in lies:
        answer = registry.ask("PATCH", location, b"12345", {"Content-Range": said})
        assert (answer.status, code(answer)) == (status, expected)
    assert registry.ask("PATCH", location, b"12345", {"Content-Range": "0-4"}).headers["Range"] == "0-4"


def test_a_full_disk_is_told(registry: OwnRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    """The registry's own trouble gets an answer, and what had come stays: it is no broken connection."""
    location = begin(registry)

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Uploads, "append", full)
    answer = registry.ask("PATCH", location, b"12345")
    assert (answer.status, code(answer)) == (507, "UNKNOWN")
    monkeypatch.undo()
    assert registry.ask("PATCH", location, b"12345").status == 202


def test_oversized_requests_are_refused(registry: OwnRegistry) -> None:
    """A manifest of more than four megabytes, a header without an end: refused."""
    large = registry.ask("PUT", "/v2/me/app/manifests/1", b" " * (LARGEST_MANIFEST + 1), {"Content-Type": "x/y"})
    assert (large.status, code(large)) == (413, "SIZE_INVALID")
    assert registry.ask("GET", "/v2/", headers={"X": "x" * 300_000}).status == 431
    assert registry.ask("GET", "/v2/").status == 200


def test_slow_clients_harm_nobody(tmp_path: Path) -> None:
    """Fifty who stop in the middle are ended; others are served meanwhile, and what came of an upload stays."""
    with own_registry(tmp_path, limits=Limits(body_stall_seconds=0.5, header_seconds=0.5)) as registry:
        location = begin(registry)
        host, _, port = registry.host.partition(":")
        slow = [socket.create_connection((host, int(port))) for _ in range(50)]
        halves = [b"GET /v2/ HT", f"PATCH {location} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf".encode()]
        for number, sock in enumerate(slow):
            sock.sendall(halves[number == 0])
        assert registry.ask("GET", "/v2/").status == 200
        for sock in slow:
            with sock:
                assert b" 408 " in b"".join(iter(lambda sock=sock: sock.recv(4096), b""))  # type: ignore[misc]
        assert registry.ask("GET", location).headers["Range"] == "0-3"


def test_manifests(registry: OwnRegistry, image: ImageFixture) -> None:
    """end-7, end-3: by tag and by digest, byte for byte, with the type it came with."""
    put = registry.push("me/app", "1", image)
    assert (put.status, put.headers["Docker-Content-Digest"]) == (201, image.digest)
    for name in ("1", image.digest):
        got = registry.ask("GET", f"/v2/me/app/manifests/{name}")
        assert (got.body, got.headers["Content-Type"]) == (image.manifest, image.media_type)
        head = registry.ask("HEAD", f"/v2/me/app/manifests/{name}")
        assert (head.status, head.headers["Docker-Content-Digest"], head.body) == (200, image.digest, b"")


def test_manifests_that_lie_are_refused(registry: OwnRegistry, image: ImageFixture) -> None:
    """Missing blobs, another digest, another type, no JSON, too large: nothing of it is stored."""
    headers = {"Content-Type": image.media_type}

    def put(name: str, data: bytes, kind: str = image.media_type) -> tuple[int, str]:
        answer = registry.ask("PUT", f"/v2/me/app/manifests/{name}", data, {"Content-Type": kind})
        return answer.status, code(answer)

    assert put("1", image.manifest) == (400, "MANIFEST_BLOB_UNKNOWN")
    registry.push("me/app", "ok", image)
    assert put(digest(b"?"), image.manifest) == (400, "DIGEST_INVALID")
    assert put("1", image.manifest, OCI_MANIFEST) == (400, "MANIFEST_INVALID")
    assert put("1", b"no json") == (400, "MANIFEST_INVALID")
    assert put("1", b'{"schemaVersion": 1}') == (400, "MANIFEST_INVALID")
    assert registry.ask("PUT", "/v2/me/app/manifests/1", b" " * (5 << 20), headers).status == 413
    assert registry.ask("GET", "/v2/me/app/manifests/1").status == 404


def test_tags_and_catalog_in_pages(registry: OwnRegistry, image: ImageFixture) -> None:
    """end-8: sorted, cut by n, gone on with last, linked with Link."""
    for tag in ("c", "a", "b"):
        registry.push("me/app", tag, image)
    registry.push("zoo", "1", image)
    whole = registry.ask("GET", "/v2/me/app/tags/list")
    assert json.loads(whole.body) == {"name": "me/app", "tags": ["a", "b", "c"]}
    assert "Link" not in whole.headers
    page = registry.ask("GET", "/v2/me/app/tags/list", n="2")
    assert json.loads(page.body)["tags"] == ["a", "b"]
    assert page.headers["Link"] == '</v2/me/app/tags/list?n=2&last=b>; rel="next"'
    assert json.loads(registry.ask("GET", "/v2/me/app/tags/list", n="2", last="b").body)["tags"] == ["c"]
    assert json.loads(registry.ask("GET", "/v2/me/app/tags/list", n="0").body)["tags"] == []
    assert registry.ask("GET", "/v2/me/app/tags/list", n="x").status == 400
    assert json.loads(registry.ask("GET", "/v2/_catalog").body) == {"repositories": ["me/app", "zoo"]}


def test_deleting(registry: OwnRegistry, image: ImageFixture) -> None:
    """end-9, end-10: a tag alone; a manifest with its tags; a blob."""
    registry.push("me/app", "1", image)
    registry.push("me/app", "2", image)
    assert registry.ask("DELETE", "/v2/me/app/manifests/1").status == 202
    assert registry.ask("GET", "/v2/me/app/manifests/1").status == 404
    assert registry.ask("GET", "/v2/me/app/manifests/2").status == 200
    assert registry.ask("DELETE", f"/v2/me/app/manifests/{image.digest}").status == 202
    assert registry.ask("GET", "/v2/me/app/manifests/2").status == 404
    assert json.loads(registry.ask("GET", "/v2/me/app/tags/list").body)["tags"] == []
    assert registry.ask("DELETE", f"/v2/me/app/blobs/{image.id}").status == 202
    assert registry.ask("GET", f"/v2/me/app/blobs/{image.id}").status == 404


def test_referrers(registry: OwnRegistry, image: ImageFixture) -> None:
    """end-12: signatures and the like find their image, filtered by type; they may come before it."""
    empty = registry.push_blob("me/app", b"{}")
    config = {"mediaType": OCI_CONFIG, "digest": empty, "size": 2}
    for kind in ("test/signature", "test/sbom"):
        subject = {"mediaType": image.media_type, "digest": image.digest, "size": len(image.manifest)}
        manifest = json.dumps({
            "schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": kind, "config": config, "layers": [],
            "subject": subject, "annotations": {"kind": kind},
        }).encode()  # fmt: skip
        name = digest(manifest)
        put = registry.ask("PUT", f"/v2/me/app/manifests/{name}", manifest, {"Content-Type": OCI_MANIFEST})
        assert put.headers["OCI-Subject"] == image.digest
    path = f"/v2/me/app/referrers/{image.digest}"
    everything = registry.ask("GET", path)
    assert everything.headers["Content-Type"] == OCI_INDEX
    assert {entry["artifactType"] for entry in json.loads(everything.body)["manifests"]} == {
        "test/signature",
        "test/sbom",
    }
    some = registry.ask("GET", path, artifactType="test/sbom")
    assert some.headers["OCI-Filters-Applied"] == "artifactType"
    assert [entry["annotations"] for entry in json.loads(some.body)["manifests"]] == [{"kind": "test/sbom"}]
    none = registry.ask("GET", f"/v2/me/app/referrers/{digest(b'?')}")
    assert (none.status, json.loads(none.body)["manifests"]) == (200, [])


def test_read_only(tmp_path: Path, image: ImageFixture) -> None:
    """Pull goes on, and nothing can be changed."""
    with own_registry(tmp_path) as registry:
        registry.push("me/app", "1", image)
    with own_registry(tmp_path, read_only=True) as registry:
        assert registry.ask("GET", "/v2/me/app/manifests/1").body == image.manifest
        for method, path in (("POST", "/v2/me/app/blobs/uploads/"), ("DELETE", "/v2/me/app/manifests/1")):
            answer = registry.ask(method, path)
            assert (answer.status, code(answer)) == (405, "UNSUPPORTED")


def test_one_upload_has_one_filler(registry: OwnRegistry) -> None:
    """Two requests that write one upload at once would mix their bytes: the second is told so."""
    location = begin(registry)
    host, _, port = registry.host.partition(":")
    with socket.create_connection((host, int(port))) as raw:
        raw.sendall(f"PATCH {location} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345".encode())
        data = registry.storage.root / "uploads" / location.rpartition("/")[2] / "data"
        while data.stat().st_size < 5:
            os.sched_yield()
        assert registry.ask("PATCH", location, b"abc").status == 409
        raw.sendall(b"67890")
        assert raw.recv(100).startswith(b"HTTP/1.1 202")


def test_many_push_the_same_blob_at_once(registry: OwnRegistry) -> None:
    """All succeed, one copy is kept, and it is whole."""
    failures: list[BaseException] = []

    def push(number: int) -> None:
        try:
            registry.push_blob(f"me/app{number % 3}", DATA)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=push, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert [path.read_bytes() for path in registry.storage.blobs.glob("*/*/*")] == [DATA]
    assert list(registry.storage.scratch.iterdir()) == []

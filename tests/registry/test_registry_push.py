"""The push job, against the real registry and against one that misbehaves."""

from __future__ import annotations

import io
import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from mini_docker.errors import Invalid, NotFound, Unauthorized
from mini_docker.registry.digest import digest_of, short_id
from tests.registry.cutting_proxy import CuttingProxy
from tests.registry.debian_registry import debian_registry, fill
from tests.registry.image_fixture import layer_tar, make_image
from tests.registry.pull_bench import PullBench, said


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with debian_registry(tmp_path_factory.mktemp("debian")) as address:
        yield address


@pytest.fixture
def bench(tmp_path: Path) -> PullBench:
    return PullBench(tmp_path)


def build(bench: PullBench, repository: str, tag: str, *contents: bytes) -> str:
    """An image made here, of uncompressed layers; returns its id."""
    diff_ids, parent = [], None
    with bench.graph.lease():
        for content in contents:
            layer = bench.graph.add_layer(parent, io.BytesIO(layer_tar({"file": content})))
            diff_ids.append(layer.diff_id)
            parent = layer.chain_id
        config = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids}}
        image = bench.graph.register(json.dumps(config).encode())
    bench.tags.set(repository, tag, image.id)
    return image.id


def test_push_then_pull_gives_the_same_image(host: str, bench: PullBench, tmp_path: Path) -> None:
    """Law: what is pushed is pulled with the same id, elsewhere; and the lines are Docker's."""
    name = f"{host}/me/built"
    image_id = build(bench, name, "1", b"one" * 1000, b"two")
    lines = bench.push(name, "1")
    assert lines[0] == {"status": f"The push refers to repository [{name}]"}
    for diff_id in bench.graph.get(image_id).config.diff_ids:
        assert said(lines, short_id(diff_id)) == ["Preparing", "Pushing", "Pushed"]
    aux = lines[-1]["aux"]
    assert lines[-2]["status"] == f"1: digest: {aux['Digest']} size: {aux['Size']}"
    assert bench.tags.get_digest(name, aux["Digest"]) == image_id
    other = PullBench(tmp_path / "other")
    pulled = other.pull(name, "1")
    assert other.tags.get(name, "1") == image_id
    assert pulled[-2]["status"] == f"Digest: {aux['Digest']}"
    assert bench.leftovers() == []


def test_what_is_there_is_not_sent_again(host: str, bench: PullBench) -> None:
    """A second push costs a question for each layer."""
    name = f"{host}/me/again"
    image_id = build(bench, name, "1", b"one")
    first = bench.push(name, "1")
    again = bench.push(name, "1")
    (diff_id,) = bench.graph.get(image_id).config.diff_ids
    assert said(again, short_id(diff_id)) == ["Preparing", "Layer already exists"]
    assert first[-1] == again[-1]


def test_layers_are_taken_over_from_another_repository(host: str, bench: PullBench) -> None:
    """The registry has the bytes: a mount moves a name instead."""
    made = make_image({"mounted": b"x" * 5000})
    fill(host, "me/source", "1", made)
    bench.pull(f"{host}/me/source", "1")
    bench.tags.set(f"{host}/me/target", "1", made.id)
    lines = bench.push(f"{host}/me/target", "1")
    assert said(lines, short_id(made.diff_ids[0]))[-1] == "Mounted from me/source"
    assert lines[-1]["aux"]["Digest"] == made.digest  # as it came, so it goes: the same manifest


def test_all_tags_are_pushed_when_none_is_named(host: str, bench: PullBench) -> None:
    """``docker push -a`` sends no tag."""
    name = f"{host}/me/all"
    for tag in ("a", "b"):
        build(bench, name, tag, tag.encode())
    lines = bench.push(name)
    assert [line["aux"]["Tag"] for line in lines if "aux" in line] == ["a", "b"]
    with urllib.request.urlopen(f"http://{host}/v2/me/all/tags/list") as answer:
        assert sorted(json.load(answer)["tags"]) == ["a", "b"]


def test_what_is_not_here_cannot_be_pushed(host: str, bench: PullBench) -> None:
    """In Docker's words."""
    with pytest.raises(NotFound, match=f"An image does not exist locally with the tag: {host}/me/none"):
        bench.push(f"{host}/me/none", "1")
    build(bench, f"{host}/me/some", "1", b"x")
    with pytest.raises(NotFound, match=f"tag does not exist: {host}/me/some:2"):
        bench.push(f"{host}/me/some", "2")
    with pytest.raises(Invalid, match="cannot push a digest reference"):
        bench.push(f"{host}/me/some@{digest_of(b'')}")


@pytest.mark.parametrize("at", [300, 40_000, 200_000])
def test_a_cut_upload_is_taken_up_again(host: str, bench: PullBench, at: int) -> None:
    """Wherever the connection breaks, the upload ends whole; the real registry wants it from the start again."""
    with CuttingProxy(host) as proxy:
        name = f"{proxy.address}/me/cut{at}"
        build(bench, name, "1", bytes(range(256)) * 3000 + str(at).encode() + _noise(300_000))
        proxy.cut_requests_after(at)
        lines = bench.push(name, "1")
        assert proxy.cuts == 1
        assert "aux" in lines[-1]
    other = PullBench(bench.root / "other")
    other.pull(f"{host}/me/cut{at}", "1")
    assert len(other.graph.images()) == 1


def _noise(length: int) -> bytes:
    """Bytes that do not compress, the same each time."""
    state, out = 1, bytearray()
    while len(out) < length:
        state = state * 6364136223846793005 + 1442695040888963407 & (1 << 64) - 1
        out += state.to_bytes(8, "big")
    return bytes(out)


def test_a_registry_that_asks_for_a_password_is_understood(tmp_path: Path, bench: PullBench) -> None:
    """Basic auth as the real registry has it (htpasswd)."""
    # A well-formed bcrypt line: whoever comes without a password is asked for one.
    (tmp_path / "users").write_text("ann:$2b$04$abcdefghijklmnopqrstuuH6d5pVxk4wNNZ5uNuUY8e2gZMl3R7Ei\n")
    with debian_registry(tmp_path, f"auth: {{htpasswd: {{realm: r, path: {tmp_path}/users}}}}\n") as host:
        name = f"{host}/me/secret"
        build(bench, name, "1", b"x")
        with pytest.raises(Unauthorized, match="no basic auth credentials"):
            bench.push(name, "1")

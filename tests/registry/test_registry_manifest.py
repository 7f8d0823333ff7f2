"""Manifests, platforms and digests: pure values."""

from __future__ import annotations

import hashlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mini_docker import media_types as types
from mini_docker.errors import Invalid, NotFound, Unsupported
from mini_docker.registry import manifest as m
from mini_docker.registry.digest import DigestMismatch, Verifier, check_digest, digest_of, verify
from mini_docker.registry.platform import Platform, choose, host
from tests.registry.image_fixture import make_image

A, B = digest_of(b"a"), digest_of(b"b")


def index(*platforms: tuple[str, ...] | None, media_type: str = types.OCI_INDEX) -> m.ImageIndex:
    entries = []
    for number, names in enumerate(platforms):
        entry: dict[str, object] = {
            "mediaType": types.OCI_MANIFEST,
            "digest": digest_of(bytes([number])),
            "size": 1,
        }
        if names is not None:
            entry["platform"] = dict(zip(("os", "architecture", "variant"), names, strict=False))
        entries.append(entry)
    parsed = m.parse_manifest(json.dumps({"schemaVersion": 2, "manifests": entries}).encode(), media_type)
    assert isinstance(parsed, m.ImageIndex)
    return parsed


def test_encode_then_parse_is_the_same_image() -> None:
    """Law: a manifest we write is read back as the same value."""
    image = make_image({"a": b"1"}, {"b": b"2"})
    parsed = m.parse_manifest(image.manifest, types.DOCKER_MANIFEST)
    assert isinstance(parsed, m.ImageManifest)
    assert parsed.encode() == image.manifest
    assert [layer.size for layer in parsed.layers] == [len(layer) for layer in image.layers]


@pytest.mark.parametrize(
    "content_type",
    ["", "application/json", types.DOCKER_MANIFEST, types.DOCKER_MANIFEST + "; charset=utf-8"],
)
def test_the_content_tells_what_a_vague_type_does_not(content_type: str) -> None:
    """Static file servers and old registries send no useful type; the manifest itself says what it is."""
    assert isinstance(m.parse_manifest(make_image({"a": b""}).manifest, content_type), m.ImageManifest)


def test_schema_1_is_refused_with_a_sentence() -> None:
    """Schema 1 is unsupported by choice, so users learn why and what to do."""
    data = json.dumps({"schemaVersion": 1, "name": "x", "fsLayers": []}).encode()
    for content_type in ("", "application/vnd.docker.distribution.manifest.v1+prettyjws"):
        with pytest.raises(Unsupported, match="schema 1"):
            m.parse_manifest(data, content_type)


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"config": {"mediaType": "application/vnd.cncf.helm.config.v1+json", "digest": A, "size": 1}}, Unsupported),
        ({"layers": [{"mediaType": "application/x-wasm", "digest": A, "size": 1}]}, Unsupported),
        ({"layers": [{"mediaType": types.DOCKER_LAYER, "digest": "sha256:../../x", "size": 1}]}, Invalid),
        ({"layers": [{"mediaType": types.DOCKER_LAYER, "digest": A}]}, Invalid),
        ({"layers": [{"mediaType": types.DOCKER_LAYER, "digest": A, "size": -1}]}, Invalid),
        ({"layers": None}, Invalid),
        ({"config": []}, Invalid),
    ],
)
def test_what_is_no_image_is_refused(change: dict[str, object], kind: type[Exception]) -> None:
    """A helm chart, a hostile digest, a missing size: each is refused before anything is fetched."""
    value = json.loads(make_image({"a": b""}).manifest) | change
    with pytest.raises(kind):
        m.parse_manifest(json.dumps(value).encode(), types.DOCKER_MANIFEST)


@settings(max_examples=150, deadline=None)
@given(st.recursive(st.none() | st.integers() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3)
       | st.dictionaries(st.sampled_from(["config", "layers", "manifests", "mediaType", "digest", "size", "urls"]),
                         inner, max_size=4), max_leaves=12))  # fmt: skip
def test_hostile_json_raises_only_our_errors(value: object) -> None:
    """Law: whatever JSON a registry sends, parsing ends in a value or in Invalid or Unsupported."""
    try:
        m.parse_manifest(json.dumps(value).encode(), "")
    except (Invalid, Unsupported):
        pass


def test_index_selects_by_platform() -> None:
    """The exact platform wins over what it could also run."""
    listed = index(("linux", "amd64"), ("linux", "arm", "v6"), ("linux", "arm", "v7"), ("linux", "arm64", "v8"))
    expected = {
        "linux/amd64": 0, "linux/arm/v7": 2, "linux/arm/v6": 1, "linux/arm64": 3, "linux/arm64/v8": 3,
        "linux/arm/v8": 2,
    }  # fmt: skip
    assert {name: listed.manifests.index(listed.select(Platform.parse(name))) for name in expected} == expected


def test_index_without_a_match_says_so_in_dockers_words() -> None:
    """Attestations (platform unknown/unknown) are never chosen as an image."""
    with pytest.raises(NotFound, match="no matching manifest for linux/s390x in the manifest list entries"):
        index(("linux", "amd64"), ("unknown", "unknown")).select(Platform.parse("linux/s390x"))


def test_an_entry_without_platform_is_the_last_resort() -> None:
    """Some indexes say no platform: then it is taken, but only when nothing fits better."""
    assert index(None).select(Platform("linux", "amd64")).digest == digest_of(bytes([0]))
    assert index(None, ("linux", "amd64")).select(Platform("linux", "amd64")).digest == digest_of(bytes([1]))


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("linux/x86_64", "linux/amd64"), ("linux/aarch64", "linux/arm64"), ("linux/arm", "linux/arm/v7"),
        ("linux/armhf", "linux/arm/v7"), ("linux/arm64/v8", "linux/arm64"), ("linux/arm/7", "linux/arm/v7"),
        ("arm64", "linux/arm64"), ("linux/i686", "linux/386"),
    ],
)  # fmt: skip
def test_platforms_have_one_normal_form(text: str, normal: str) -> None:
    """Kernels, people and images spell machines differently."""
    assert str(Platform.parse(text)) == normal


@pytest.mark.parametrize("text", ["", "/", "linux/", "a/b/c/d"])
def test_malformed_platforms_are_refused(text: str) -> None:
    """They come from users by ``--platform``."""
    with pytest.raises(Invalid):
        Platform.parse(text)


def test_the_host_chooses_itself() -> None:
    """This machine's platform is among what it can run."""
    assert choose([host()], lambda offer: offer, host()) == host()


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=100), st.sampled_from(["sha256", "sha384", "sha512"]), st.integers(0, 99))
def test_verifier_accepts_the_content_and_nothing_else(data: bytes, algorithm: str, at: int) -> None:
    """Law: the content passes in whatever pieces; one flipped bit does not."""
    digest = f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"
    verifier = Verifier(digest)
    verifier.update(data[:at])
    verifier.update(data[at:])
    assert verifier.verified
    if data:
        at %= len(data)
        with pytest.raises(DigestMismatch, match="manifest verification failed for digest"):
            verify(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :], digest, "manifest")


@pytest.mark.parametrize("text", ["", "sha256", "sha256:", "sha256:zz", "sha256:" + "F" * 64, "md5:" + "0" * 32])
def test_malformed_digests_are_refused(text: str) -> None:
    """Digests become file names and URLs: nothing else may pass as one."""
    with pytest.raises(Invalid):
        check_digest(text)

"""Layers, digests and images as values."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mini_docker.errors import Invalid
from mini_docker.graph.digest import checked_digest, digest_of, hex_of
from mini_docker.graph.image import HistoryEntry, Image, ImageConfig
from mini_docker.graph.layer import chain_id, chain_ids, driver_layer, init_layer

digests = st.binary(max_size=8).map(digest_of)
text = st.text(max_size=12)
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)
known_fields = {"architecture", "os", "created", "author", "comment", "config", "rootfs", "history"}
extras = st.dictionaries(text.filter(lambda name: name not in known_fields), json_values, max_size=3)
history_fields = {"created", "created_by", "author", "comment", "empty_layer"}
entries = st.builds(
    HistoryEntry, text, text, text, text, st.booleans(),
    st.dictionaries(text.filter(lambda name: name not in history_fields), json_values, max_size=2),
)  # fmt: skip
configs = st.builds(
    ImageConfig, text, text, text, text, text, st.dictionaries(text, json_values, max_size=3),
    st.lists(digests, max_size=4).map(tuple), st.lists(entries, max_size=3).map(tuple), extras,
)  # fmt: skip


def test_chain_id_is_that_of_the_specification() -> None:
    """ChainID(A) = A and ChainID(A|B) = sha256(ChainID(A) + " " + B), as OCI's config.md writes it."""
    a, b = digest_of(b"a"), digest_of(b"b")
    assert chain_id(None, a) == a
    assert chain_id(a, b) == "sha256:" + hashlib.sha256(f"{a} {b}".encode()).hexdigest()
    assert chain_ids([a, b]) == (a, chain_id(a, b))


@settings(max_examples=50)
@given(st.lists(digests, max_size=6), st.lists(digests, max_size=6))
def test_equal_chain_ids_mean_equal_stacks(one: list[str], other: list[str]) -> None:
    """A chain id names a stack, not a layer: the same diff on another parent is another chain."""
    if one and other:
        assert (chain_ids(one)[-1] == chain_ids(other)[-1]) == (one == other)
    assert chain_ids(one)[: len(one) - 1] == chain_ids(one[:-1])


def test_driver_ids_hold_no_colon() -> None:
    """Overlay's lowerdir option is a list parted by colons."""
    chain = digest_of(b"a")
    assert driver_layer(chain) == "sha256-" + hex_of(chain)
    assert init_layer(chain) == driver_layer(chain)[:55] + "-init"
    assert init_layer(None) == "scratch-init"


@pytest.mark.parametrize(
    "text", ["", "sha256:", "sha256:../../etc/passwd", "sha256:" + "A" * 64, "md5:" + "a" * 64, None, 7]
)
def test_what_is_no_digest_is_refused(text: object) -> None:
    """Digests become file names: nothing else may pass."""
    with pytest.raises(Invalid):
        checked_digest(text, "a test")


@settings(max_examples=60)
@given(configs)
def test_config_round_trip(config: ImageConfig) -> None:
    """decode undoes encode, unknown fields included: what another tool wrote must survive a commit."""
    assert ImageConfig.decode(config.encode()) == config


@settings(max_examples=40)
@given(extras)
def test_unknown_fields_come_back(extra: dict[str, Any]) -> None:
    """The same from the JSON's side."""
    data = {**extra, "architecture": "amd64", "os": "linux", "config": None, "history": None}
    again = json.loads(ImageConfig.decode(json.dumps(data).encode()).encode())
    assert {name: again[name] for name in extra} == extra


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\xff\xfe", b"[]", b"null", b'{"os": 3}', b'{"rootfs": {"type": "zfs"}}',
        b'{"rootfs": {"diff_ids": ["x"]}}', b'{"rootfs": {"diff_ids": "x"}}', b'{"history": [3]}',
        b'{"history": [{"empty_layer": "yes"}]}', b"[" * 100_000,
    ],
)  # fmt: skip
def test_bad_configs_are_invalid(data: bytes) -> None:
    """Whatever a registry or an archive sends, the answer is one clear error."""
    with pytest.raises(Invalid):
        ImageConfig.decode(data)


def test_an_image_is_named_by_its_bytes() -> None:
    """Not by what they mean: white space counts, or digests would differ from a registry's."""
    one = Image.from_config(b'{"architecture":"amd64","os":"linux"}')
    other = Image.from_config(b'{"architecture": "amd64", "os": "linux"}')
    assert one.config == other.config
    assert one.id == digest_of(one.config_bytes) != other.id
    assert one.top is None

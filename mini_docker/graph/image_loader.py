"""The image loader: unpacks the moving box of `image_archive` into the graph, whichever table of contents it finds.

It knows the graph; it sets no names, but says which the archive has.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

from mini_docker.architecture import host_architecture
from mini_docker.archive.compression import MAGIC_BYTES, Compression, detect
from mini_docker.dataclasses import dataclass
from mini_docker.errors import Invalid
from mini_docker.graph.ahead import LayerAhead
from mini_docker.graph.digest import checked_digest, digest_of, hex_of
from mini_docker.graph.graph import Graph
from mini_docker.graph.image import Image, ImageConfig
from mini_docker.graph.image_archive import REFERENCE_NAME, ArchivedImage
from mini_docker.graph.layer import chain_ids
from mini_docker.graph.spooled_archive import SpooledArchive

_CONTAINERD_NAME = "io.containerd.image.name"
_MAX_DEPTH = 4
_MAX_OLD_CHAIN = 1024


def load(graph: Graph, stream: BinaryIO) -> list[ArchivedImage]:
    """Register every image of an archive, in its order, and say by which names the archive calls them.

    Args:
        stream: a tar, compressed or not: Docker's of any age, or an OCI image layout.

    Raises:
        Invalid: it is no image archive, or corrupt, or a digest in it is wrong. Images before the bad one stay.
    """
    with SpooledArchive(stream, graph.scratch) as archive, graph.lease():
        if archive.has("manifest.json"):
            return list(_load_docker(graph, archive))
        if archive.has("index.json"):
            return _merge(_load_oci(graph, archive, archive.read_json("index.json"), 0))
        if archive.has("repositories"):
            return _merge(_load_old(graph, archive))
    raise Invalid("not an image archive: it has neither manifest.json nor index.json nor repositories")


# -- Docker since 1.10 ------------------------------------------------------------------------------


def _load_docker(graph: Graph, archive: SpooledArchive) -> Iterator[ArchivedImage]:
    for value in _list(archive.read_json("manifest.json"), "manifest.json"):
        entry = _object(value, "an entry of manifest.json")
        config_bytes = archive.read(_string(entry.get("Config"), "Config"))
        paths = [_string(path, "a layer's path") for path in _list(entry.get("Layers") or [], "Layers")]
        diff_ids = ImageConfig.decode(config_bytes).diff_ids
        if len(paths) != len(diff_ids):
            raise Invalid(f"bad image archive: {len(paths)} layers for an image that has {len(diff_ids)}")
        _stack(
            graph,
            [_PackedLayer(archive.path(path), diff_id) for path, diff_id in zip(paths, diff_ids, strict=True)],
        )
        names = tuple(_string(name, "a name") for name in _list(entry.get("RepoTags") or [], "RepoTags"))
        yield ArchivedImage(graph.register(config_bytes), names)


# -- OCI image layout -------------------------------------------------------------------------------


def _load_oci(graph: Graph, archive: SpooledArchive, index: Any, depth: int) -> Iterator[ArchivedImage]:
    if depth > _MAX_DEPTH:
        raise Invalid("bad image archive: its indexes are nested too deeply")
    for entry in _list(_object(index, "an index").get("manifests"), "manifests"):
        descriptor = _object(entry, "a descriptor")
        if not _is_for_this_machine(descriptor):
            continue
        value = _read_blob_json(archive, descriptor)
        names = _oci_names(descriptor)
        if "manifests" in value:
            for loaded in _load_oci(graph, archive, value, depth + 1):
                yield ArchivedImage(loaded.image, names + loaded.names)
        else:
            yield ArchivedImage(_load_oci_image(graph, archive, value), names)


def _load_oci_image(graph: Graph, archive: SpooledArchive, manifest: dict[str, Any]) -> Image:
    config_digest = _digest(_object(manifest.get("config"), "config"))
    config_bytes = _read_blob(archive, config_digest)
    layers = [_object(layer, "a layer") for layer in _list(manifest.get("layers"), "layers")]
    diff_ids = ImageConfig.decode(config_bytes).diff_ids
    if len(layers) != len(diff_ids):
        raise Invalid(f"bad image archive: {len(layers)} layers for an image that has {len(diff_ids)}")
    packed = []
    for layer, diff_id in zip(layers, diff_ids, strict=True):
        digest, media_type = _digest(layer), _string(layer.get("mediaType", ""), "mediaType")
        packed.append(_PackedLayer(archive.path(_blob_path(digest)), diff_id, digest, media_type))
    _stack(graph, packed)
    return graph.register(config_bytes)


def _is_for_this_machine(descriptor: dict[str, Any]) -> bool:
    platform = _object(descriptor.get("platform") or {}, "platform")
    here = host_architecture()
    return (platform.get("os", "linux"), platform.get("architecture", here)) == ("linux", here)


def _oci_names(descriptor: dict[str, Any]) -> tuple[str, ...]:
    """A name that holds a repository; a bare tag (``latest``) names nothing outside its own layout."""
    notes = _object(descriptor.get("annotations") or {}, "annotations")
    name = _string(notes.get(_CONTAINERD_NAME) or notes.get(REFERENCE_NAME) or "", "a name")
    return (name,) if ":" in name else ()


def _blob_path(digest: str) -> str:
    return "blobs/sha256/" + hex_of(digest)


def _read_blob(archive: SpooledArchive, digest: str) -> bytes:
    data = archive.read(_blob_path(digest))
    if digest_of(data) != digest:
        raise Invalid(f"bad image archive: the blob {digest} has another digest, {digest_of(data)}")
    return data


def _read_blob_json(archive: SpooledArchive, descriptor: dict[str, Any]) -> dict[str, Any]:
    digest = _digest(descriptor)
    _read_blob(archive, digest)
    return _object(archive.read_json(_blob_path(digest)), f"blob {digest}")


# -- Docker before 1.10 -----------------------------------------------------------------------------


def _load_old(graph: Graph, archive: SpooledArchive) -> Iterator[ArchivedImage]:
    for repository, tags in _object(archive.read_json("repositories"), "repositories").items():
        for tag, old_id in _object(tags, f"repository {repository}").items():
            chain = _old_chain(archive, _string(old_id, "an image id"))
            yield ArchivedImage(_load_old_image(graph, archive, chain), (f"{repository}:{tag}",))


def _old_chain(archive: SpooledArchive, old_id: str) -> list[tuple[str, dict[str, Any]]]:
    """The ids below *old_id* and itself, with their facts, bottom first."""
    chain: list[tuple[str, dict[str, Any]]] = []
    while old_id:
        if len(chain) == _MAX_OLD_CHAIN:
            raise Invalid("bad image archive: a chain of parents that does not end")
        facts = _object(archive.read_json(f"{old_id}/json"), f"{old_id}/json")
        chain.append((old_id, facts))
        old_id = _string(facts.get("parent", ""), "parent")
    return chain[::-1]


def _load_old_image(graph: Graph, archive: SpooledArchive, chain: list[tuple[str, dict[str, Any]]]) -> Image:
    """An image had no configuration of its own then: one is made from the facts of its chain."""
    parent, diff_ids, history = None, [], []
    kept = ("created", "author", "comment")
    for old_id, facts in chain:
        path = archive.path(f"{old_id}/layer.tar")
        with open(path, "rb") as stream:
            layer = graph.add_layer(parent, stream, file=path)
        parent = layer.chain_id
        diff_ids.append(layer.diff_id)
        history.append({name: facts[name] for name in kept if name in facts})
    top = {"architecture": host_architecture(), "os": "linux", **chain[-1][1]}
    config = {name: top[name] for name in (*kept, "architecture", "os", "config") if name in top}
    config |= {"rootfs": {"type": "layers", "diff_ids": diff_ids}, "history": history}
    # Decoded once for its checks, encoded as we write it ourselves.
    return graph.register(ImageConfig.decode(json.dumps(config).encode()).encode())


# -- all three --------------------------------------------------------------------------------------


def _merge(loaded: Iterator[ArchivedImage]) -> list[ArchivedImage]:
    """One entry an image, with all its names."""
    merged: dict[str, ArchivedImage] = {}
    for one in loaded:
        names = merged[one.image.id].names if one.image.id in merged else ()
        merged[one.image.id] = ArchivedImage(one.image, tuple(dict.fromkeys(names + one.names)))
    return list(merged.values())


@dataclass(frozen=True, slots=True)
class _PackedLayer:
    """A layer as it lies in an archive.

    Attributes:
        digest: of the file, when the archive tells it.
    """

    file: Path
    diff_id: str
    digest: str | None = None
    media_type: str = ""


def _stack(graph: Graph, layers: Sequence[_PackedLayer]) -> None:
    """Add an image's layers, bottom first; those that are missing are unpacked side by side where that is faster."""
    chains = chain_ids(layer.diff_id for layer in layers)
    missing = range(graph.count_present(chains), len(layers))
    sizes = [layers[number].file.stat().st_size for number in missing]
    compressed = any(_is_compressed(layers[number].file) for number in missing)
    with ExitStack() as files, graph.ahead(sizes, compressed=compressed) as ahead:
        begun: dict[int, LayerAhead] = {}
        if ahead is not None:
            for number in missing:
                stream = files.enter_context(open(layers[number].file, "rb"))
                begun[number] = ahead.begin(stream, is_base=number == 0)
        for number, layer in enumerate(layers):
            with open(layer.file, "rb") as stream:
                graph.add_layer(
                    chains[number - 1] if number else None,
                    stream,
                    expected_diff_id=layer.diff_id,
                    expected_digest=layer.digest,
                    media_type=layer.media_type,
                    file=layer.file,
                    ahead=begun.get(number),
                )


def _is_compressed(file: Path) -> bool:
    with open(file, "rb") as stream:
        return detect(stream.read(MAGIC_BYTES)) is not Compression.NONE


# -- the archive's JSON, distrusted -----------------------------------------------------------------


def _digest(descriptor: dict[str, Any]) -> str:
    return checked_digest(descriptor.get("digest"), "a descriptor")


def _object(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Invalid(f"bad image archive: {what} is not an object")
    return value


def _list(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise Invalid(f"bad image archive: {what} is not a list")
    return value


def _string(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise Invalid(f"bad image archive: {what} is not a string")
    return value

"""Unpacking a layer, as an order and its report: what is wanted, what was found, and the work between them.

An order is data, so that it may be carried out here or in another process (`unpackers`). It knows nothing of stacks:
what the layer will stand on is not asked.
"""

from __future__ import annotations

import hashlib
import json

from mini_docker.archive.unpack import unpack
from mini_docker.archive.whiteout import WhiteoutForm
from mini_docker.dataclasses import dataclass
from mini_docker.errors import ERRORS_BY_NAME, MiniDockerError, error_of_kind
from mini_docker.graph.incoming import Incoming
from mini_docker.linux.id_mapping import NO_MAPPING, IdMap, IdMapping
from mini_docker.linux.kernel import Kernel


@dataclass(frozen=True, slots=True)
class UnpackOrder:
    """How a layer is to be unpacked.

    Attributes:
        whiteouts: what deletion marks become.
        ids: what the owners in the archive are on the host.
    """

    whiteouts: WhiteoutForm = WhiteoutForm.DELETE
    ids: IdMapping = NO_MAPPING

    def encode(self) -> bytes:
        """As bytes."""
        uids, gids = (
            [(entry.container_id, entry.host_id, entry.size) for entry in maps]
            for maps in (self.ids.uids, self.ids.gids)
        )
        return json.dumps({"whiteouts": self.whiteouts.value, "uids": uids, "gids": gids}).encode()

    @classmethod
    def decode(cls, data: bytes) -> UnpackOrder:
        """The inverse of `encode`."""
        said = json.loads(data)
        uids, gids = (tuple(IdMap(*entry) for entry in said[name]) for name in ("uids", "gids"))
        return cls(WhiteoutForm(said["whiteouts"]), IdMapping(uids, gids))


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What a layer turned out to be.

    Attributes:
        content_bytes: of its files.
        digest: of its bytes as they came.
        diff_id: digest of its uncompressed tar.
        implied: the directories that it has and does not describe (see `archive.unpack`).
    """

    content_bytes: int
    digest: str
    diff_id: str
    implied: tuple[bytes, ...] = ()

    def encode(self) -> bytes:
        """As bytes."""
        implied = [path.decode("latin-1") for path in self.implied]
        return json.dumps([self.content_bytes, self.digest, self.diff_id, implied]).encode()


def encode_failure(error: Exception) -> bytes:
    """An error as what `decode_report` raises: its kind by name, and its sentence."""
    kinds = [kind.__name__ for kind in type(error).__mro__ if kind.__name__ in ERRORS_BY_NAME]
    sentence = str(error) if isinstance(error, MiniDockerError) else f"unpacking a layer failed: {error!r}"
    return json.dumps({"kind": kinds[0] if kinds else "", "error": sentence}).encode()


def decode_report(data: bytes) -> Unpacked:
    """The inverse of `Unpacked.encode`.

    Raises:
        MiniDockerError: the report is of a failure, or there is none, because who should write it died.
    """
    if not data:
        raise MiniDockerError("the process that unpacked a layer died before it said how it went")
    said = json.loads(data)
    if isinstance(said, dict):
        raise error_of_kind(said["kind"], said["error"])
    content_bytes, digest, diff_id, implied = said
    return Unpacked(content_bytes, digest, diff_id, tuple(path.encode("latin-1") for path in implied))


class Fingerprint:
    """The digest of bytes that are kept elsewhere."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def write(self, piece: bytes) -> None:
        """Take note of *piece*."""
        self._hash.update(piece)

    @property
    def digest(self) -> str:
        """Of what was written so far."""
        return "sha256:" + self._hash.hexdigest()


def carry_out(order: UnpackOrder, source: int, root: int, kernel: Kernel) -> Unpacked:
    """Unpack the layer that the descriptor *source* gives, to its end, into the directory *root*.

    All in one thread: who carries out several orders at once gives each a process.

    Raises:
        Invalid, Unsupported: as `archive.unpack`.
    """
    implied: list[bytes] = []
    blob = Fingerprint()
    with (
        open(source, "rb", buffering=0, closefd=False) as stream,
        Incoming(stream, blob, aside=False) as incoming,
    ):
        content_bytes = unpack(
            incoming.tar, root, kernel, whiteouts=order.whiteouts, on_implied=implied.append, ids=order.ids
        )
    return Unpacked(content_bytes, blob.digest, incoming.diff_id, tuple(implied))

"""The handlers for blobs and their uploads.

Source: OCI distribution specification 1.1, end-2, 4a, 4b, 5, 6, 10, 11, 13; RFC 9110, sections 13 and 14.
"""

from __future__ import annotations

import os
import re

from mini_docker.http.messages import Answer
from mini_docker.http.responder import Responder
from mini_docker.registry.server.errors import Refused
from mini_docker.registry.server.request import Asked, checked_digest, checked_name
from mini_docker.registry.server.storage import Storage
from mini_docker.registry.server.uploads import Uploads

BINARY = "application/octet-stream"
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_CONTENT_RANGE = re.compile(r"(?:bytes )?(\d+)-(\d+)(?:/.*)?")


class Blobs:
    """GET, HEAD and DELETE of ``/v2/<name>/blobs/<digest>``."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def get(self, asked: Asked, responder: Responder) -> None:
        """Send a blob or a range of it; the same for HEAD, where the responder leaves the body out."""
        with self._storage.open_blob(asked.repository, asked.item) as file:
            size = os.fstat(file.fileno()).st_size
            headers = [
                ("Content-Type", BINARY), ("Docker-Content-Digest", asked.item), ("ETag", f'"{asked.item}"'),
                ("Accept-Ranges", "bytes"), ("Cache-Control", "max-age=31536000"),
            ]  # fmt: skip
            if asked.has_already(asked.item):
                responder.answer(Answer(304, headers))
                return
            first, last = _wanted_range(asked.range_for(asked.item), size)
            partial = (first, last) != (0, size - 1)
            if partial:
                headers.append(("Content-Range", f"bytes {first}-{last}/{size}"))
            count = last - first + 1
            responder.start(206 if partial else 200, [*headers, ("Content-Length", str(count))])
            responder.write_file(file.fileno(), first, count)
            responder.finish()

    def delete(self, asked: Asked, responder: Responder) -> None:
        """Take the blob off the repository's list."""
        self._storage.unlink_blob(asked.repository, asked.item)
        responder.answer(Answer(202))


class UploadHandlers:
    """POST, PATCH, PUT, GET and DELETE below ``/v2/<name>/blobs/uploads/``."""

    def __init__(self, storage: Storage, uploads: Uploads) -> None:
        self._storage = storage
        self._uploads = uploads

    def post(self, asked: Asked, responder: Responder) -> None:
        """Begin an upload; or mount a blob from another repository; or take a whole blob at once."""
        mount, source, digest = asked.query("mount"), asked.query("from"), asked.query("digest")
        if mount and source and self._storage.has_blob(checked_name(source), checked_digest(mount)):
            self._storage.link_blob(asked.repository, mount)
            self._created(asked, responder, mount)
            return
        if digest:
            checked_digest(digest)
        number = self._uploads.begin(asked.repository)
        if digest:
            self._take(asked, number, None)
            self._uploads.finish(asked.repository, number, digest)
            self._created(asked, responder, digest)
            return
        responder.answer(Answer(202, self._state(asked, number, 0)))

    def patch(self, asked: Asked, responder: Responder) -> None:
        """Take the next bytes."""
        size = self._take(asked, asked.item, _offset(asked))
        responder.answer(Answer(202, self._state(asked, asked.item, size)))

    def put(self, asked: Asked, responder: Responder) -> None:
        """Take the last bytes, if any, and make it a blob."""
        digest = checked_digest(asked.query("digest"))
        self._take(asked, asked.item, _offset(asked))
        self._uploads.finish(asked.repository, asked.item, digest)
        self._created(asked, responder, digest)

    def get(self, asked: Asked, responder: Responder) -> None:
        """Say how far the upload came."""
        size = self._uploads.size(asked.repository, asked.item)
        responder.answer(Answer(204, self._state(asked, asked.item, size)))

    def delete(self, asked: Asked, responder: Responder) -> None:
        """Cancel it."""
        self._uploads.cancel(asked.repository, asked.item)
        responder.answer(Answer(204))

    def _take(self, asked: Asked, number: str, offset: int | None) -> int:
        body = asked.request.body
        body.allow(None)
        try:
            return self._uploads.append(asked.repository, number, offset, body.read)
        except Refused as refused:
            if refused.code == "RANGE_INVALID":
                # With the refusal the client is told where to go on.
                refused.headers = self._state(asked, number, self._uploads.size(asked.repository, number))
            raise

    @staticmethod
    def _state(asked: Asked, number: str, size: int) -> tuple[tuple[str, str], ...]:
        return (
            ("Location", f"/v2/{asked.repository}/blobs/uploads/{number}"),
            ("Range", f"0-{max(0, size - 1)}"),
            ("Docker-Upload-UUID", number),
        )

    @staticmethod
    def _created(asked: Asked, responder: Responder, digest: str) -> None:
        location = f"/v2/{asked.repository}/blobs/{digest}"
        responder.answer(Answer(201, (("Location", location), ("Docker-Content-Digest", digest))))


def _wanted_range(header: str, size: int) -> tuple[int, int]:
    """First and last byte of what is wanted. Several ranges, or an unknown unit, count as none (RFC 9110, 14.2).

    Raises:
        Refused: it begins behind the end.
    """
    match = _RANGE.fullmatch(header.replace(" ", ""))
    if match is None or not (match[1] or match[2]):
        return 0, size - 1
    if match[1]:
        first, last = int(match[1]), min(int(match[2] or size - 1), size - 1)
    else:
        first, last = max(0, size - int(match[2])), size - 1
    if first >= size or first > last:
        raise Refused(
            "RANGE_INVALID", "the range is not within the blob", headers=(("Content-Range", f"bytes */{size}"),)
        )
    return first, last


def _offset(asked: Asked) -> int | None:
    """Where the client believes that the upload goes on; None where it does not say.

    Raises:
        Refused: the range is malformed, or not as long as the body.
    """
    content_range, length = asked.request.header("content-range"), asked.request.header("content-length")
    if not content_range:
        return None
    match = _CONTENT_RANGE.fullmatch(content_range.strip())
    if match is None or int(match[1]) > int(match[2]):
        raise Refused("RANGE_INVALID", f"malformed Content-Range: {content_range}")
    if length and int(length) != int(match[2]) - int(match[1]) + 1:
        raise Refused("SIZE_INVALID", f"the range {content_range} has another length than the body, {length} bytes")
    return int(match[1])

"""Download: one blob, from wherever it can be had, in as many pieces as the network makes of it.

Bytes go to a writer as they come and are hashed on the way. A connection that breaks is taken up
again where it broke. The end is only a good end when length and digest are right.

It knows no layers and no files: a writer is anything that takes bytes.

Source: OCI distribution specification 1.1, "Pulling blobs"; RFC 9110, section 14 (ranges).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from mini_docker.errors import Invalid
from mini_docker.registry.digest import DigestMismatch, Verifier
from mini_docker.registry.errors import BrokenOff, Unreachable
from mini_docker.registry.session import Session

if TYPE_CHECKING:
    from mini_docker.registry.transport import Response

PIECE_BYTES = 256 * 1024
"""Large enough that Python's share of the work is small, small enough that progress is seen on a slow line."""
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(?:\d+|\*)")


def download_blob(session: Session, digest: str, size: int, write: Callable[[bytes], object]) -> None:
    """Fetch a blob to *write*.

    Args:
        size: bytes, as the manifest has it.
        write: takes each piece, in order, each byte once.

    Raises:
        DigestMismatch: all of it came, but it is other content.
        Unreachable: it broke off too often without getting any further.
        NotFound: no such blob. Cancelled: nobody wants it any more.
    """
    verifier = Verifier(digest)
    done = 0
    failures = 0
    while done < size:
        before = done
        response = session.open_blob(digest, done)
        broke = ""
        try:
            with session.cancellation.cutting(response.cut):
                _skip(response, done)
                while done < size:
                    piece = response.read(min(PIECE_BYTES, size - done))
                    if not piece:
                        broke = "unexpected EOF"
                        break
                    done += len(piece)
                    verifier.update(piece)
                    write(piece)
        except BrokenOff as error:
            broke = str(error)
        finally:
            # Read to its end, the answer has given its connection back already; else this ends both.
            response.close()
        session.cancellation.check()
        if not broke:
            break
        failures = 1 if done > before else failures + 1
        if failures >= session.retries.attempts:
            raise Unreachable(f"download of {digest} broke off after {done} of {size} bytes: {broke}")
        session.cancellation.sleep(session.retries.pause(failures))
    if not verifier.verified:
        raise DigestMismatch(f"filesystem layer verification failed for digest {digest}")


def _skip(response: Response, offset: int) -> None:
    """Place the answer at *offset*: where it begins already, or by reading past what is known."""
    begins = 0
    if response.status == 206:
        found = _CONTENT_RANGE.match(response.headers.get("Content-Range", ""))
        if found is None or int(found[1]) > offset:
            raise Invalid("the registry answered another range than the one it was asked for")
        begins = int(found[1])
    left = offset - begins
    while left > 0:
        piece = response.read(min(PIECE_BYTES, left))
        if not piece:
            return
        left -= len(piece)

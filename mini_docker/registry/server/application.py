"""The registry's application: who may come in, which handler answers, and how a refusal is worded.

Source: OCI distribution specification 1.1, "Endpoints".
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable

from mini_docker.http.errors import RequestRefused
from mini_docker.http.messages import Answer, Request
from mini_docker.http.responder import Responder
from mini_docker.registry.server.access import Access
from mini_docker.registry.server.blobs import Blobs, UploadHandlers
from mini_docker.registry.server.errors import Refused, too_early
from mini_docker.registry.server.manifests import Listings, Manifests
from mini_docker.registry.server.request import Asked
from mini_docker.registry.server.storage import Storage
from mini_docker.registry.server.uploads import Uploads

log = logging.getLogger(__name__)

Handler = Callable[[Asked, Responder], None]
READING = frozenset({"GET", "HEAD"})
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class RegistryApplication:
    """Answers the registry's requests, in many threads at once.

    *Fixed*: the table of handlers, who guards the door, whether anything may be changed.
    """

    def __init__(self, storage: Storage, access: Access, read_only: bool = False) -> None:
        uploads, blobs, manifests, listings = Uploads(storage), Blobs(storage), Manifests(storage), Listings(storage)
        boxes = UploadHandlers(storage, uploads)
        uploads.expire()
        self._access = access
        self._read_only = read_only
        self._table: dict[tuple[str, str], Handler] = {
            ("base", "GET"): _base,
            ("token", "GET"): access.give_token,
            ("token", "POST"): access.give_token,
            ("catalog", "GET"): listings.catalog,
            ("tags", "GET"): listings.tags,
            ("referrers", "GET"): listings.referrers,
            ("blobs", "GET"): blobs.get,
            ("blobs", "DELETE"): blobs.delete,
            ("uploads", "POST"): boxes.post,
            ("uploads", "PATCH"): boxes.patch,
            ("uploads", "PUT"): boxes.put,
            ("uploads", "GET"): boxes.get,
            ("uploads", "DELETE"): boxes.delete,
            ("manifests", "GET"): manifests.get,
            ("manifests", "PUT"): manifests.put,
            ("manifests", "DELETE"): manifests.delete,
        }

    def __call__(self, request: Request, responder: Responder) -> None:
        """Answer one request."""
        try:
            self._answer(request, responder)
        except Refused as refused:
            self._refuse(responder, refused.answer())
        except RequestRefused as refused:
            self._refuse(responder, too_early(refused.status, str(refused)))
        except (ConnectionError, TimeoutError):
            raise  # the client went away
        except OSError as error:
            # Our own trouble, not the client's: it must not look as if the connection had broken.
            log.error("%s %r: %s", request.method, request.path, error)
            status = 507 if error.errno in _NO_SPACE else 500
            self._refuse(responder, Refused("UNKNOWN", f"the registry cannot: {error.strerror}", status).answer())
        finally:
            log.info("%s %r: %s", request.method, request.path, responder.status or "no answer")

    def _answer(self, request: Request, responder: Responder) -> None:
        asked = Asked.decode(request)
        method = "GET" if request.method == "HEAD" else request.method
        handler = self._table.get((asked.kind, method))
        writes = request.method not in READING and asked.kind != "token"
        if handler is None:
            raise Refused("UNSUPPORTED", f"{request.method} is not supported here")
        if asked.kind != "token":
            self._access.check(asked)
        if writes and self._read_only:
            raise Refused("UNSUPPORTED", "this registry is read-only")
        handler(asked, responder)

    @staticmethod
    def _refuse(responder: Responder, answer: Answer) -> None:
        if responder.started:
            log.warning("an answer broke off: %s", answer.body.decode())
            return  # left unfinished, it is cut off, and the client can tell
        responder.answer(answer)


def _base(asked: Asked, responder: Responder) -> None:
    """``/v2/``: yes, a registry is here."""
    headers = (("Content-Type", "application/json"), ("Docker-Distribution-Api-Version", "registry/2.0"))
    responder.answer(Answer(200, headers, b"{}"))

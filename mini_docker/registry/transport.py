"""Transport: one HTTP exchange with an endpoint, redirects followed. A thin shell around urllib3.

It knows no registry API and decides nothing about retries or who may see what, but for one law:
the ``Authorization`` header goes to the host it was meant for and to no other.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable, Mapping
from urllib.parse import urljoin, urlsplit

import urllib3
from urllib3.exceptions import (
    HTTPError,
    InsecureRequestWarning,
    NameResolutionError,
    NewConnectionError,
    SSLError,
    TimeoutError,
)

from mini_docker.registry.endpoints import Endpoint
from mini_docker.registry.errors import Unreachable
from mini_docker.registry.patience import Timeouts

Body = Callable[[], "bytes | Iterable[bytes]"]
"""Makes the body anew for each try: what was half sent cannot be sent again."""
Response = urllib3.BaseHTTPResponse

MOST_REDIRECTS = 10
SMALL = 1024 * 1024
"""Bytes of an answer that is read whole into memory when it is not content: errors, tokens."""
_POOL_SIZE = 16


class Transport:
    """Speaks HTTP with one endpoint and with wherever it redirects to. Threads may share it.

    *Fixed*: everything; urllib3's pool guards itself.

    Args:
        endpoint: whose certificates and trust to use.
        user_agent: how to introduce ourselves.

    Raises:
        Invalid: the endpoint's certificate folder is broken.
    """

    def __init__(self, endpoint: Endpoint, user_agent: str, timeouts: Timeouts) -> None:
        self.endpoint = endpoint
        self._user_agent = user_agent
        if not endpoint.verify:
            # Whoever runs the daemon decided that; a warning on standard error for each request tells nobody.
            urllib3.disable_warnings(InsecureRequestWarning)
        self._pool = urllib3.PoolManager(
            maxsize=_POOL_SIZE,
            timeout=urllib3.Timeout(connect=timeouts.connect, read=timeouts.read),
            retries=False,
            # Reading all of the system's authorities takes 20 ms: not for an endpoint without TLS.
            ssl_context=endpoint.tls() if endpoint.url.startswith("https:") else None,
            assert_hostname=None if endpoint.verify else False,
        )

    def request(
        self, method: str, url: str, headers: Mapping[str, str] | None = None, body: Body | None = None
    ) -> Response:
        """Make one exchange; the answer's body is still to be read, and the answer to be closed by the caller.

        Raises:
            Unreachable: no answer came.
        """
        sent = {"User-Agent": self._user_agent, **(headers or {})}
        for _ in range(MOST_REDIRECTS):
            response = self._once(method, url, sent, body)
            location = response.headers.get("Location")
            if response.status not in (301, 302, 303, 307, 308) or not location:
                return response
            response.drain_conn()
            response.release_conn()
            target = urljoin(url, location)
            if _origin(target) != _origin(url):
                sent = {name: value for name, value in sent.items() if name.lower() != "authorization"}
            if response.status == 303 and method != "HEAD":
                method, body = "GET", None
            url = target
        raise Unreachable(f'{method.capitalize()} "{url}": stopped after {MOST_REDIRECTS} redirects')

    def close(self) -> None:
        """Close the idle connections."""
        self._pool.clear()

    def _once(self, method: str, url: str, headers: Mapping[str, str], body: Body | None) -> Response:
        if urlsplit(url).scheme not in ("http", "https"):
            raise Unreachable(f'{method.capitalize()} "{url}": unsupported protocol scheme')
        try:
            return self._pool.request(
                method,
                url,
                headers=dict(headers),
                body=body() if body else None,
                redirect=False,
                preload_content=False,
                decode_content=False,
            )
        except HTTPError as error:
            raise Unreachable(f'{method.capitalize()} "{url}": {reason(error)}') from error


def read_small(response: Response) -> bytes:
    """The body of an answer that must be small; the connection goes back to the pool.

    Raises:
        Unreachable: it broke off, or is larger than `SMALL`.
    """
    try:
        data = response.read(SMALL + 1)
        if len(data) > SMALL:
            response.close()
            raise Unreachable(f"the answer is larger than {SMALL} bytes, which no registry sends here")
        return data
    except HTTPError as error:
        raise Unreachable(f"the answer broke off: {reason(error)}") from error
    finally:
        response.release_conn()


def cut_off(response: Response) -> None:
    """From another thread: let whoever reads the answer find it broken off now. Nothing happens when it is read."""
    try:
        response.shutdown()
    except (RuntimeError, ValueError, OSError):
        pass  # its connection went back to the pool, or closed: nobody is reading any more


def reason(error: HTTPError) -> str:
    """A failure of urllib3 in the words that users of Docker know."""
    cause = error.args[0] if error.args else None
    if isinstance(error, NameResolutionError):
        return "dial tcp: lookup failed: no such host"
    if isinstance(error, NewConnectionError) and isinstance(error.__cause__, OSError):
        return f"dial tcp: connect: {(error.__cause__.strerror or str(error.__cause__)).lower()}"
    if isinstance(error, SSLError) and isinstance(cause, ssl.SSLError):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"x509: certificate verification failed: {cause.verify_message}"
        if cause.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "UNKNOWN_PROTOCOL", "HTTP_REQUEST"):
            return "http: server gave HTTP response to HTTPS client"
    if isinstance(error, TimeoutError):
        return "timed out waiting for an answer"
    return str(error)


def _origin(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    return parts.scheme, (parts.hostname or "").lower(), parts.port or (443 if parts.scheme == "https" else 80)

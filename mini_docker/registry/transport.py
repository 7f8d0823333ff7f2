"""Transport: one HTTP exchange with an endpoint, redirects followed. A thin shell around urllib3.

It knows no registry API and decides nothing about retries or who may see what, but for one law:
the ``Authorization`` header goes to the host it was meant for and to no other. Proxies are those of the
environment (``HTTP_PROXY``, ``HTTPS_PROXY``, ``NO_PROXY``); nobody asks a proxy for this machine itself.

Whoever imports this module imports urllib3 and TLS, 14 MB: `RegistryService` does so at the first
exchange, for most daemons are idle most of the time.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any
from urllib.parse import urljoin, urlsplit

import urllib3
from urllib3 import exceptions as kinds
from urllib3.connection import HTTPConnection, HTTPSConnection

from mini_docker.registry.endpoints import Endpoint
from mini_docker.registry.errors import BrokenOff, Unreachable
from mini_docker.registry.patience import Cancellation, Timeouts

Body = Callable[[], "bytes | Iterable[bytes]"]
"""Makes the body anew for each try: what was half sent cannot be sent again."""

MOST_REDIRECTS = 10
SMALL = 1024 * 1024
"""Bytes of an answer that is read whole into memory when it is not content: errors, tokens."""
_POOL_SIZE = 16
_cancellation: ContextVar[Cancellation | None] = ContextVar("cancellation", default=None)
"""The flag of the exchange that this thread makes: urllib3 hands nothing of the kind down to its connections."""


class _Cuttable:
    """A connection that can be cut from another thread while it sends, or waits for the answer's head."""

    sock: socket.socket | None

    def request(self, *args: Any, **options: Any) -> None:
        """Send a request."""
        with self._cut_when_cancelled():
            super().request(*args, **options)  # type: ignore[misc]

    def getresponse(self) -> Any:
        """Wait for the answer's head."""
        with self._cut_when_cancelled():
            return super().getresponse()  # type: ignore[misc]

    @contextmanager
    def _cut_when_cancelled(self) -> Iterator[None]:
        cancellation = _cancellation.get()
        if cancellation is None:
            yield
            return
        with cancellation.cutting(self._cut):
            yield

    def _cut(self) -> None:
        if self.sock is not None:
            with suppress(OSError):
                # Past TLS's own farewell, which is not for another thread to say.
                socket.socket.shutdown(self.sock, socket.SHUT_RDWR)


class _CuttableHttp(_Cuttable, HTTPConnection):
    """In the clear."""


class _CuttableHttps(_Cuttable, HTTPSConnection):
    """By TLS."""


class _HttpPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _CuttableHttp


class _HttpsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _CuttableHttps


class Response:
    """An answer whose body is still to be read.

    Attributes:
        status: of HTTP.
        headers: their names in any case.
        url: what was asked for.
    """

    def __init__(self, answer: urllib3.BaseHTTPResponse, url: str) -> None:
        self.status = answer.status
        self.headers: Mapping[str, str] = answer.headers
        self.url = url
        self._answer = answer

    def header_values(self, name: str) -> list[str]:
        """The values of a header that may be sent more than once."""
        return list(self._answer.headers.getlist(name))

    def read(self, size: int) -> bytes:
        """The next *size* bytes, fewer only at the end. Read to its end, the answer gives its connection back.

        Raises:
            BrokenOff: the connection broke, or nothing came for too long.
        """
        try:
            return self._answer.read(size)
        except kinds.HTTPError as error:
            raise BrokenOff(f"the answer broke off: {_reason(error, self.url)}") from error

    def read_small(self) -> bytes:
        """The body of an answer that must be small, to its end.

        Raises:
            BrokenOff: it broke off. Unreachable: it is larger than `SMALL`, which no registry sends here.
        """
        try:
            data = self.read(SMALL + 1)
            if len(data) > SMALL:
                raise Unreachable(f"the answer of {self.url} is larger than {SMALL} bytes")
            return data
        finally:
            self.close()

    def close(self) -> None:
        """Have done with it: the connection, if it has not been given back, ends."""
        self._answer.close()

    def cut(self) -> None:
        """From another thread: let whoever reads find it broken off now. Nothing happens when it is read."""
        try:
            self._answer.shutdown()
        except (RuntimeError, ValueError, OSError):
            pass  # its connection was given back, or closed: nobody is reading any more


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
            urllib3.disable_warnings(kinds.InsecureRequestWarning)
        # Reading all of the system's authorities takes 20 ms: not for an endpoint without TLS.
        tls = endpoint.tls() if endpoint.url.startswith("https:") else None
        manner: dict[str, Any] = {
            "maxsize": _POOL_SIZE,
            "timeout": urllib3.Timeout(connect=timeouts.connect, read=timeouts.read),
            "retries": False,
            "ssl_context": tls,
            "assert_hostname": None if endpoint.verify else False,
        }
        self._direct = urllib3.PoolManager(**manner)
        self._proxied = {
            scheme: urllib3.ProxyManager(proxy if "://" in proxy else f"http://{proxy}", **manner)
            for scheme, proxy in urllib.request.getproxies_environment().items()
            if scheme in ("http", "https")
        }
        for pool in (self._direct, *self._proxied.values()):
            pool.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
        cancellation: Cancellation | None = None,
    ) -> Response:
        """Make one exchange; the answer's body is still to be read, and the answer to be closed, by the caller.

        Args:
            cancellation: cuts the exchange short, up to the answer's head; `Response.cut` is for the body.

        Raises:
            Unreachable: no answer came.
        """
        token = _cancellation.set(cancellation)
        try:
            return self._follow(method, url, headers, body)
        finally:
            _cancellation.reset(token)

    def _follow(self, method: str, url: str, headers: Mapping[str, str] | None, body: Body | None) -> Response:
        sent = {"User-Agent": self._user_agent, **(headers or {})}
        for _ in range(MOST_REDIRECTS):
            response = self._once(method, url, sent, body)
            location = response.headers.get("Location")
            if response.status not in (301, 302, 303, 307, 308) or not location:
                return response
            response.read_small()
            target = urljoin(url, location)
            if _origin(target) != _origin(url):
                sent = {name: value for name, value in sent.items() if name.lower() != "authorization"}
            if response.status == 303 and method != "HEAD":
                method, body = "GET", None
            url = target
        raise Unreachable(f'{method.capitalize()} "{url}": stopped after {MOST_REDIRECTS} redirects')

    def close(self) -> None:
        """Close the idle connections."""
        for pool in (self._direct, *self._proxied.values()):
            pool.clear()

    def _pool(self, url: str) -> urllib3.PoolManager:
        """The connections to take for *url*: straight there, or through the proxy that the environment names."""
        scheme, host, port = _origin(url)
        proxied = self._proxied.get(scheme)
        bypass = urllib.request.proxy_bypass_environment  # type: ignore[attr-defined]  # typeshed lacks it
        if proxied is None or _is_loopback(host) or bypass(f"{host}:{port}"):
            return self._direct
        return proxied

    def _once(self, method: str, url: str, headers: Mapping[str, str], body: Body | None) -> Response:
        if urlsplit(url).scheme not in ("http", "https"):
            raise Unreachable(f'{method.capitalize()} "{url}": unsupported protocol scheme')
        try:
            answer = self._pool(url).request(
                method,
                url,
                headers=dict(headers),
                body=body() if body else None,
                redirect=False,
                preload_content=False,
                decode_content=False,
            )
        except kinds.HTTPError as error:
            raise Unreachable(f'{method.capitalize()} "{url}": {_reason(error, url)}') from error
        return Response(answer, url)


def _reason(error: kinds.HTTPError, url: str) -> str:
    """A failure of urllib3 in the words that users of Docker know."""
    cause = error.args[0] if error.args else None
    _, host, port = _origin(url)
    if isinstance(error, kinds.NameResolutionError):
        return f"dial tcp: lookup {host}: no such host"
    if isinstance(error, kinds.NewConnectionError) and isinstance(error.__cause__, OSError):
        why = (error.__cause__.strerror or str(error.__cause__)).lower()
        return f"dial tcp {host}:{port}: connect: {why}"
    if isinstance(error, kinds.SSLError) and isinstance(cause, ssl.SSLError):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"x509: certificate verification failed: {cause.verify_message}"
        if cause.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "UNKNOWN_PROTOCOL", "HTTP_REQUEST"):
            return "http: server gave HTTP response to HTTPS client"
    if isinstance(error, kinds.TimeoutError):
        return "timed out waiting for an answer"
    return str(error)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _origin(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    return parts.scheme, (parts.hostname or "").lower(), parts.port or (443 if parts.scheme == "https" else 80)

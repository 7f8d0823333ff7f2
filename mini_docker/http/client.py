"""The client's end of the wire: one letter out, one answer back, and for a hijack the line stays open.

It speaks as much of HTTP/1.1 (RFC 9112) as a client of the Remote API meets: one request a
connection; answers with a length, in chunks, until close, or switching protocols. It knows
nothing of containers or of what the JSON means.

Why not h11, on which the servers stand: importing it (typing, dataclasses, inspect, re) takes
17 ms, and ``docker version`` takes 9 ms whole. For the same reason this module uses ``_socket``,
the C half of ``socket`` (whose enums cost 5 ms). The tests hold it to h11: whatever h11 writes, cut
anywhere, is read back the same.
"""

from __future__ import annotations

import _socket

from mini_docker.errors import Denied, Invalid, MiniDockerError, Unavailable
from mini_docker.http import quick_json

TYPE_CHECKING = False  # what typing.TYPE_CHECKING is, without its 3 ms
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any

    Body = bytes | Iterable[bytes] | None
    Query = Mapping[str, object]

CHUNK = 64 * 1024
HEAD_LIMIT = 256 * 1024
"""Bytes that a status line with its headers may take."""

_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


class CannotConnect(Unavailable):
    """Nobody answers at the daemon's address."""


class BadResponse(MiniDockerError):
    """What came back is not HTTP, or stopped in the middle."""


class ErrorResponse(MiniDockerError):
    """The daemon answered with an error.

    Args:
        status: the HTTP status.
        message: the daemon's sentence.
        exit_code: what the failed command would have exited with (126, 127), when the daemon says so; else 0.
    """

    def __init__(self, status: int, message: str, exit_code: int = 0) -> None:
        super().__init__(message)
        self.status = status
        self.exit_code = exit_code


def quote(text: str, safe: bytes = b"") -> str:
    """*text* percent-encoded (RFC 3986, section 2.1), but for the bytes in *safe*."""
    return "".join(chr(byte) if byte in _UNRESERVED or byte in safe else f"%{byte:02X}" for byte in text.encode())


def target(path: str, query: Query) -> str:
    """A request target: *path* as it is, then *query*.

    None, False and the empty string leave a parameter out; True is ``1``, and a list repeats the name.
    """
    words = []
    for name, value in query.items():
        for each in value if isinstance(value, list | tuple) else (value,):
            if each is not None and each is not False and each != "":
                words.append(f"{quote(name)}={quote('1' if each is True else str(each))}")
    return path + ("?" + "&".join(words) if words else "")


def connect(host: str) -> _socket.socket:
    """A connected stream socket to ``unix:///path`` or ``tcp://name:port``.

    Raises:
        Invalid: *host* is neither.
        Denied: the socket exists, but this user may not use it.
        CannotConnect: nobody listens there.
    """
    scheme, separator, address = host.partition("://")
    if not separator:
        scheme, address = "tcp", host
    try:
        if scheme == "unix" and address:
            made = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
            made.connect(address)
            return made
        if scheme in ("tcp", "http"):
            return _connect_tcp(host, address)
    except PermissionError:
        raise Denied(
            f"permission denied while trying to connect to the Docker daemon socket at {host}: "
            "run as root or as a user who may write to the socket"
        ) from None
    except OSError as error:
        hint = "" if isinstance(error, ConnectionRefusedError | FileNotFoundError) else f" ({error.strerror or error})"
        raise CannotConnect(
            f"Cannot connect to the Docker daemon at {host}. Is the docker daemon running?{hint}"
        ) from None
    raise Invalid(f"unable to parse docker host `{host}`: give unix:///path or tcp://name:port")


def _connect_tcp(host: str, address: str) -> _socket.socket:
    name, separator, port = address.rstrip("/").rpartition(":")
    if not separator or not port.isdigit():
        raise Invalid(f"unable to parse docker host `{host}`: give tcp://name:port")
    failure = OSError("the name has no address")
    addresses = _socket.getaddrinfo(name.strip("[]") or "127.0.0.1", int(port), 0, _socket.SOCK_STREAM)
    for family, kind, protocol, _, where in addresses:
        made = _socket.socket(family, kind | _socket.SOCK_CLOEXEC, protocol)
        try:
            made.connect(where)
        except OSError as error:
            made.close()
            failure = error
        else:
            made.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
            return made
    raise failure


class Response:
    """One answer: its status and headers at once, its body as it arrives.

    Attributes:
        status: such as 200.
        headers: values by name in lower case.
    """

    def __init__(self, sock: _socket.socket, method: str) -> None:
        self._socket = sock
        self._buffer = b""
        self.status, self.headers = self._read_head()
        while 100 <= self.status < 200 and self.status != 101:  # "100 Continue": the answer is still to come
            self.status, self.headers = self._read_head()
        # RFC 9112, section 6.3: how the length of a body is found.
        self._chunked = self.headers.get("transfer-encoding", "").lower() == "chunked"
        self._left: int | None = None  # bytes until the end of the body or chunk; None: until close
        if method == "HEAD" or self.status in (101, 204, 304):
            self._chunked, self._left = False, 0
        elif self._chunked:
            self._left = 0
        elif "content-length" in self.headers:
            self._left = self._number(self.headers["content-length"], 10)
        self._ended = self._left == 0 and not self._chunked

    def read_some(self) -> bytes:
        """The next bytes of the body as soon as there are some; empty only at its end.

        Raises:
            BadResponse: the connection broke before the end.
        """
        if self._chunked and self._left == 0 and not self._ended:
            self._next_chunk()
        if self._ended:
            return b""
        if not self._buffer and not self._fill():
            if self._left is not None:
                raise BadResponse("unexpected EOF: the daemon closed the connection in the middle of its answer")
            self._ended = True
            return b""
        size = len(self._buffer) if self._left is None else min(self._left, len(self._buffer))
        piece, self._buffer = self._buffer[:size], self._buffer[size:]
        if self._left is not None:
            self._left -= size
            if self._chunked and self._left == 0:
                self._expect_blank_line()
            self._ended = self._left == 0 and not self._chunked
        return piece

    def pieces(self) -> Iterator[bytes]:
        """The body, piece by piece as it arrives."""
        while piece := self.read_some():
            yield piece

    def read(self) -> bytes:
        """The whole (rest of the) body."""
        return b"".join(self.pieces())

    def lines(self) -> Iterator[bytes]:
        """The body line by line as it arrives, newlines left out; an open last line counts as one."""
        rest = b""
        for piece in self.pieces():
            *whole, rest = (rest + piece).split(b"\n")
            yield from whole
        if rest:
            yield rest

    def json(self) -> Any:
        """The body decoded; None when it is empty.

        Raises:
            BadResponse: it is not JSON.
        """
        data = self.read()
        try:
            return quick_json.loads(data) if data.strip() else None
        except ValueError as error:
            raise BadResponse(f"the daemon's answer is not JSON: {error}") from None

    def json_lines(self) -> Iterator[Any]:
        """Each line of the body decoded, as it arrives.

        Raises:
            BadResponse: a line is not JSON.
        """
        for line in self.lines():
            if line.strip():
                try:
                    yield quick_json.loads(line)
                except ValueError as error:
                    raise BadResponse(f"the daemon's answer is not JSON: {error}") from None

    def raise_for_error(self) -> None:
        """Return when the status is below 400.

        Raises:
            ErrorResponse: it is not.
        """
        if self.status < 400:
            return
        data = self.read()
        try:
            answer = quick_json.loads(data)
            message, exit_code = str(answer["message"]), int(answer.get("exit_code") or 0)
        except (ValueError, KeyError, TypeError, AttributeError):
            # A proxy between us and the daemon may answer in its own words.
            message, exit_code = data.decode(errors="replace").strip() or f"status {self.status}, with no word why", 0
        raise ErrorResponse(self.status, message, exit_code)

    def hijack(self) -> tuple[_socket.socket, bytes]:
        """Take the connection: (socket, bytes that came after the head already).

        Raises:
            BadResponse: the daemon did not agree to hand it over.
        """
        if self.status not in (101, 200):
            raise BadResponse(f"unable to upgrade the connection: the daemon answered {self.status}")
        early, self._buffer = self._buffer, b""
        return self._socket, early

    def _fill(self) -> bool:
        try:
            data = self._socket.recv(CHUNK)
        except ConnectionResetError:
            data = b""
        self._buffer += data
        return bool(data)

    def _read_line(self) -> bytes:
        while (end := self._buffer.find(b"\n")) < 0:
            if len(self._buffer) > HEAD_LIMIT:
                raise BadResponse(f"the daemon's answer has a line of over {HEAD_LIMIT} bytes in its head")
            if not self._fill():
                raise BadResponse("error during connect: the daemon closed the connection before it had answered")
        line, self._buffer = self._buffer[:end], self._buffer[end + 1 :]
        return line.rstrip(b"\r")

    def _read_head(self) -> tuple[int, dict[str, str]]:
        status_line = self._read_line()
        version, _, rest = status_line.partition(b" ")
        if not version.startswith(b"HTTP/1.") or not rest[:3].isdigit():
            raise BadResponse(f"the daemon's answer is not HTTP: {status_line[:80]!r}")
        headers: dict[str, str] = {}
        size = 0
        while line := self._read_line():
            size += len(line)
            if size > HEAD_LIMIT:
                raise BadResponse(f"the daemon's answer has headers of over {HEAD_LIMIT} bytes")
            name, _, value = line.partition(b":")
            headers[name.decode("latin-1").lower()] = value.strip(b" \t").decode("latin-1")
        return int(rest[:3]), headers

    def _next_chunk(self) -> None:
        """Read a chunk's size line; the last chunk (size 0) is followed by trailers, which we skip."""
        self._left = self._number(self._read_line().partition(b";")[0].decode("latin-1").strip(), 16)
        if self._left == 0:
            while self._read_line():
                pass
            self._ended = True

    def _expect_blank_line(self) -> None:
        if line := self._read_line():
            raise BadResponse(f"the daemon's answer has a broken chunk: {line[:80]!r} where it should end")

    @staticmethod
    def _number(text: str, base: int) -> int:
        try:
            number = int(text, base)
        except ValueError:
            number = -1
        if number < 0:
            raise BadResponse(f"the daemon's answer has a bad length: {text[:80]!r}")
        return number


class Connection:
    """One connection to the daemon; it carries one request.

    Args:
        host: ``unix:///path`` or ``tcp://name:port``.

    Raises:
        CannotConnect, Denied, Invalid: as `connect` does.
    """

    def __init__(self, host: str) -> None:
        self._host = host
        self.socket = connect(host)

    def request(
        self, method: str, target: str, headers: Mapping[str, str] | None = None, body: Body = None
    ) -> Response:
        """Send the request and return the answer once its head is there, whatever its status.

        Args:
            body: bytes, sent with their length; or an iterable of bytes, sent as chunks.

        Raises:
            BadResponse: the answer is not HTTP, or never came.
        """
        head = {"Host": "mini-docker", "User-Agent": "mini-docker"} | dict(headers or {})
        if isinstance(body, bytes):
            head["Content-Length"] = str(len(body))
        elif body is not None:
            head["Transfer-Encoding"] = "chunked"
        elif method in ("POST", "PUT"):
            head["Content-Length"] = "0"
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in head.items()), "", ""]
        letter = "\r\n".join(lines).encode("latin-1")
        try:
            if isinstance(body, bytes):
                self.socket.sendall(letter + body)
            else:
                self.socket.sendall(letter)
                for piece in body or ():
                    if piece:  # an empty chunk would end the body
                        self.socket.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
                if body is not None:
                    self.socket.sendall(b"0\r\n\r\n")
        except (BrokenPipeError, ConnectionResetError):
            pass  # the daemon said no before it had read all; its answer says why
        return Response(self.socket, method)

    def close(self) -> None:
        """Hang up."""
        self.socket.close()

"""Listeners: from addresses as users write them to sockets that clients can connect to.

`unix:///path`, `tcp://host:port` and `fd://` (sockets that systemd opened for us). It knows
nothing of what is spoken on them.
"""

from __future__ import annotations

import errno
import grp
import os
import socket
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

from mini_docker.dataclasses import dataclass
from mini_docker.errors import Conflict, Denied, Invalid, MiniDockerError, NotFound

BACKLOG = 1024
DEFAULT_PORT = 2375
UNIX_MODE = 0o660

_FIRST_PASSED_FD = 3
"""SD_LISTEN_FDS_START of sd_listen_fds(3)."""


@dataclass(frozen=True, slots=True)
class Listener:
    """A listening socket.

    Attributes:
        address: in the form that clients are told.
        socket: bound and listening.
        path: of the socket file that we made; None if there is none to remove.
        identity: device and inode of that file.
    """

    address: str
    socket: socket.socket
    path: Path | None = None
    identity: tuple[int, int] | None = None

    def close(self) -> None:
        """Stop listening, and remove the socket file unless somebody else has put theirs in its place."""
        if self.path is not None and _identity(self.path) == self.identity:
            self.path.unlink(missing_ok=True)
        self.socket.close()


def listen(addresses: Sequence[str], group: str = "", environ: Mapping[str, str] | None = None) -> list[Listener]:
    """Listen at every address, or at none.

    Args:
        addresses: in the forms above.
        group: who, beside root, may use the unix sockets; empty: nobody.
        environ: where systemd says which sockets it passed; the process's own by default.

    Raises:
        Invalid: an address that is not one, an unknown host or group.
        Conflict: another process listens there.
        Denied: the user may not listen there.
        NotFound: the folder does not exist, or systemd passed no such socket.
    """
    listeners: list[Listener] = []
    try:
        for address in addresses:
            scheme, separator, rest = address.partition("://")
            if not separator or scheme not in ("unix", "tcp", "fd"):
                raise Invalid(f"bad listen address {address!r}: write unix:///path, tcp://host:port or fd://")
            if scheme == "unix":
                listeners.append(_listen_unix(address, Path(rest), group))
            elif scheme == "tcp":
                listeners.append(_listen_tcp(address, *split_host_port(address)))
            else:
                listeners += _passed_listeners(rest, os.environ if environ is None else environ)
    except BaseException:
        for listener in listeners:
            listener.close()
        raise
    return listeners


def split_host_port(address: str) -> tuple[str, int]:
    """The host and port of ``tcp://host:port``; brackets around an IPv6 host, port 2375 by default.

    Raises:
        Invalid: it has another form.
    """
    rest = address.removeprefix("tcp://").removesuffix("/")
    if rest.startswith("["):
        host, _, port = rest[1:].partition("]")
        port = port.removeprefix(":")
    else:
        host, _, port = rest.partition(":")
    if not port:
        return host, DEFAULT_PORT
    if not (port.isascii() and port.isdigit() and int(port) < 2**16):
        raise Invalid(f"bad listen address {address!r}: {port!r} is not a port; write tcp://host:port")
    return host, int(port)


def _listen_unix(address: str, path: Path, group: str) -> Listener:
    if not path.is_absolute():
        raise Invalid(f"bad listen address {address!r}: the socket's path must be absolute, as in unix:///run/x.sock")
    gid = _group_id(group) if group else None
    _remove_stale(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # bind(2) makes the file with the mode that the socket has: it is at no time open to others.
        os.fchmod(sock.fileno(), UNIX_MODE)
        sock.bind(str(path))
        path.chmod(UNIX_MODE)  # what the umask took away
        if gid is not None:
            os.chown(path, -1, gid)
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise _explain(address, error) from error
    return Listener(address, sock, path, _identity(path))


def _remove_stale(path: Path) -> None:
    """Make way at *path*: a socket file that nobody listens on was left behind by a crash.

    Raises:
        Conflict: somebody listens there, or it is another kind of file.
    """
    try:
        mode = path.lstat().st_mode
    except OSError:
        return  # nothing there; if the path is bad, bind says so better
    if not stat.S_ISSOCK(mode):
        raise Conflict(f"cannot listen on {path}: the file exists and is not a socket; move it away")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        answer = probe.connect_ex(str(path))
    if answer in (0, errno.EAGAIN):  # EAGAIN: so busy that its queue is full
        raise Conflict(f"cannot listen on {path}: another process listens there; stop that daemon or use another -H")
    if answer != errno.ECONNREFUSED:
        raise _explain(f"unix://{path}", OSError(answer, os.strerror(answer)))
    path.unlink(missing_ok=True)


def _listen_tcp(address: str, host: str, port: int) -> Listener:
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (socket.gaierror, UnicodeError) as error:
        raise Invalid(f"bad listen address {address!r}: {host!r} is no host of ours: {error}") from None
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(where)
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise _explain(address, error) from error
    bound_host, bound_port = sock.getsockname()[:2]
    shown = f"[{bound_host}]" if ":" in bound_host else bound_host
    return Listener(f"tcp://{shown}:{bound_port}", sock)


def _passed_listeners(which: str, environ: Mapping[str, str]) -> list[Listener]:
    """The sockets that systemd opened for this process: all (``fd://``, ``fd://*``) or one by its number.

    Source: sd_listen_fds(3).
    """
    count = int(environ.get("LISTEN_FDS", "0")) if environ.get("LISTEN_PID") == str(os.getpid()) else 0
    passed = range(_FIRST_PASSED_FD, _FIRST_PASSED_FD + count)
    wanted = [number for number in passed if which in ("", "*", str(number))]
    if not wanted:
        raise NotFound(
            f"no socket for fd://{which}: systemd passed {count} to this process; start it by its .socket unit"
        )
    listeners = []
    for number in wanted:
        os.set_inheritable(number, False)
        listeners.append(Listener(f"fd://{number}", socket.socket(fileno=number)))
    return listeners


def _identity(path: Path) -> tuple[int, int] | None:
    """What tells the file at *path* from any other, whatever its name; None if there is none."""
    try:
        status = path.lstat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _group_id(group: str) -> int:
    try:
        return int(group) if group.isdigit() else grp.getgrnam(group).gr_gid
    except KeyError:
        raise Invalid(f"no such group: {group}") from None


def _explain(address: str, error: OSError) -> MiniDockerError:
    """The error of bind(2) as a kind and a sentence."""
    if error.errno == errno.EADDRINUSE:
        return Conflict(f"cannot listen on {address}: the address is in use; stop the other process or use another -H")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return Denied(f"cannot listen on {address}: {error.strerror}; run as root or choose another place")
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return NotFound(f"cannot listen on {address}: its folder does not exist")
    return Invalid(f"cannot listen on {address}: {error.strerror or error}")

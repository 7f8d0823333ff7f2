"""The command ``mini-docker registry``: run a private registry, sweep one out, or make a user for it.

mini-docker registry --addr 127.0.0.1:5000 --root /var/lib/mini-docker-registry
mini-docker registry garbage-collect --root /var/lib/mini-docker-registry
mini-docker registry htpasswd ann >>users
"""

from __future__ import annotations

import argparse
import logging
import signal
import sys
from collections.abc import Callable
from getpass import getpass
from pathlib import Path

from mini_docker.errors import Invalid, MiniDockerError, NotFound
from mini_docker.http.limits import Limits
from mini_docker.http.listeners import listen
from mini_docker.http.server import HttpServer
from mini_docker.http.tls import TlsSession, server_context
from mini_docker.registry.server.access import Access, BasicAccess, OpenAccess, TokenAccess
from mini_docker.registry.server.application import RegistryApplication
from mini_docker.registry.server.errors import too_early
from mini_docker.registry.server.garbage import YOUNG_SECONDS, collect
from mini_docker.registry.server.passwords import Passwords, new_line
from mini_docker.registry.server.storage import Storage
from mini_docker.registry.server.tickets import TicketOffice

DEFAULT_ADDRESS = "127.0.0.1:5000"
DEFAULT_ROOT = Path("/var/lib/mini-docker-registry")
LIMITS = Limits(connections=512, body_stall_seconds=60.0)


def main(argv: list[str]) -> int:
    """Run the command line.

    Args:
        argv: the words after ``registry``.

    Returns:
        The exit code.
    """
    command, words = (argv[0], argv[1:]) if argv and argv[0] in _COMMANDS else ("serve", argv)
    parser, run = _COMMANDS[command]
    options = parser().parse_args(words)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    try:
        return run(options)
    except (MiniDockerError, OSError) as error:
        print(f"registry: {error}", file=sys.stderr)
        return 1


def _serve(options: argparse.Namespace) -> int:
    tls = _tls(options)
    application = RegistryApplication(Storage(options.root), _access(options), options.read_only)
    listeners = listen([options.addr if "://" in options.addr else f"tcp://{options.addr}"])
    server = HttpServer(application, LIMITS, too_early, tls)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: server.stop())
    manner = "by TLS" if tls else "in the clear"
    logging.info("registry: listening on %s %s, keeping everything in %s", listeners[0].address, manner, options.root)
    server.serve(listeners)
    return 0


def _collect(options: argparse.Namespace) -> int:
    if not (options.root / "blobs").is_dir():
        raise NotFound(f"no registry keeps anything in {options.root}; name its folder with --root")
    swept = collect(Storage(options.root), options.young, options.delete_untagged, options.dry_run)
    verb = "would remove" if swept.dry else "removed"
    print(f"{verb} {swept.manifests} manifests, {swept.blobs} blobs and {swept.uploads} uploads: {swept.size} bytes")
    return 0


def _make_user(options: argparse.Namespace) -> int:
    password = getpass() if sys.stdin.isatty() else sys.stdin.readline().rstrip("\r\n")
    print(new_line(options.user, password))
    return 0


def _access(options: argparse.Namespace) -> Access:
    if options.htpasswd is None:
        if options.auth is not None:
            raise Invalid("--auth needs --htpasswd: somebody must be known to be let in")
        return OpenAccess()
    passwords = Passwords.read(options.htpasswd)
    if options.auth == "token":
        scheme = "https" if options.tlscert else "http"
        return TokenAccess(passwords, TicketOffice.at(options.root / "token-key"), options.anonymous_pull, scheme)
    return BasicAccess(passwords)


def _tls(options: argparse.Namespace) -> Callable[[], TlsSession] | None:
    if options.tlscert is None and options.tlskey is None:
        if options.tlscacert is not None:
            raise Invalid("--tlscacert needs --tlscert and --tlskey: only a server with a certificate asks for one")
        return None
    if options.tlscert is None or options.tlskey is None:
        raise Invalid("--tlscert and --tlskey go together")
    context = server_context(options.tlscert, options.tlskey, options.tlscacert)
    return lambda: TlsSession(context)


def _serve_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mini-docker registry",
        description="Run a private registry.",
        epilog="Other commands: mini-docker registry garbage-collect, mini-docker registry htpasswd; each has --help.",
    )
    parser.add_argument(
        "--addr", default=DEFAULT_ADDRESS, metavar="HOST:PORT", help=f"listen there ({DEFAULT_ADDRESS})"
    )
    _add_root(parser)
    parser.add_argument("--htpasswd", type=Path, metavar="FILE", help="let in only users of this file (htpasswd -B)")
    parser.add_argument("--auth", choices=["basic", "token"], help="ask for the password itself, or for a token")
    parser.add_argument("--anonymous-pull", action="store_true", help="with --auth token: strangers may pull")
    parser.add_argument("--tlscert", type=Path, metavar="FILE", help="speak TLS with this certificate (PEM)")
    parser.add_argument("--tlskey", type=Path, metavar="FILE", help="its key")
    parser.add_argument("--tlscacert", type=Path, metavar="FILE", help="let in only clients with its certificates")
    parser.add_argument("--read-only", action="store_true", help="take nothing in")
    return parser


def _sweep_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mini-docker registry garbage-collect", description="Remove what nothing names; the registry may run on."
    )
    _add_root(parser)
    parser.add_argument("--delete-untagged", action="store_true", help="also remove manifests without a tag")
    parser.add_argument("--young", type=float, default=YOUNG_SECONDS, metavar="SECONDS", help="keep what is younger")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be removed")
    return parser


def _user_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mini-docker registry htpasswd", description="Ask for a password and print a line for --htpasswd."
    )
    parser.add_argument("user", help="whose line")
    return parser


def _add_root(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--root", type=Path, default=DEFAULT_ROOT, metavar="FOLDER", help=f"keep it there ({DEFAULT_ROOT})"
    )


_COMMANDS: dict[str, tuple[Callable[[], argparse.ArgumentParser], Callable[[argparse.Namespace], int]]] = {
    "serve": (_serve_parser, _serve),
    "garbage-collect": (_sweep_parser, _collect),
    "htpasswd": (_user_parser, _make_user),
}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Between here and the registries: pull, push, search, login, logout. The daemon does the carrying."""

from __future__ import annotations

import sys

from mini_docker.commands import reference, specs
from mini_docker.commands.failure import CommandFailed
from mini_docker.commands.listing import FILTER, FORMAT, NO_TRUNC, ellipsis, show
from mini_docker.commands.options import INT, STRING, SWITCH, Command, Flag

TYPE_CHECKING = False  # what typing.TYPE_CHECKING is, without its 3 ms
if TYPE_CHECKING:
    from typing import Any, TextIO

    from mini_docker.client import Client
    from mini_docker.commands.options import Options


def pull(client: Client, options: Options) -> int:
    """``pull``: one tag, or with ``-a`` all of a repository's."""
    (image,) = options.args
    name, tag = reference.split(image)
    if options["all-tags"]:
        if tag:
            raise CommandFailed("tag can't be used with --all-tags/-a")
    elif not tag and not options["quiet"]:
        print("Using default tag: latest", flush=True)
    pull_image(client, image, options["platform"], options["quiet"], sys.stdout, options["all-tags"])
    print(reference.whole(name, tag or ("" if options["all-tags"] else "latest")))
    return 0


def pull_image(
    client: Client,
    image: str,
    platform: str = "",
    quiet: bool = False,
    out: TextIO = sys.stderr,
    all_tags: bool = False,
) -> None:
    """Have the daemon pull *image*, its progress drawn on *out*.

    Raises:
        ErrorResponse, CommandFailed: it could not.
    """
    from mini_docker.commands.progress import show_progress

    name, tag = reference.split(image)
    query = {"fromImage": name, "tag": "" if all_tags else tag or "latest", "platform": platform}
    response = client.open("POST", "/images/create", query, _auth_header(name))
    show_progress(response.json_lines(), out, quiet)


def _auth_header(name: str) -> dict[str, str]:
    from mini_docker.commands.credentials import KeyRing, encode_auth

    return {"X-Registry-Auth": encode_auth(KeyRing().get(reference.registry_of(name)))}


def push(client: Client, options: Options) -> int:
    """``push``: one tag, or with ``-a`` all of a repository's."""
    from mini_docker.commands.progress import show_progress

    name, tag = reference.split(options.args[0])
    if options["all-tags"]:
        if tag:
            raise CommandFailed("tag can't be used with --all-tags/-a")
    elif not tag:
        tag = "latest"
        if not options["quiet"]:
            print("Using default tag: latest", flush=True)
    response = client.open("POST", f"/images/{name}/push", {"tag": tag}, _auth_header(name))
    show_progress(response.json_lines(), sys.stdout, options["quiet"])
    if options["quiet"]:
        print(f"{name}:{tag}" if tag else name)
    return 0


def search(client: Client, options: Options) -> int:
    """``search``: images on the registry by a word."""
    (term,) = options.args
    query = {"term": term, "limit": options["limit"] or None, "filters": specs.parse_filters(options["filter"])}
    found = client.open("GET", "/images/search", query, _auth_header(term)).json() or ()
    width = 10**6 if options["no-trunc"] else 45
    rows = [
        {
            "Name": result["name"],
            "Description": ellipsis(" ".join(result.get("description", "").split()), width),
            "StarCount": str(result.get("star_count", 0)),
            "IsOfficial": "[OK]" if result.get("is_official") else "",
        }
        for result in found
    ]  # fmt: skip
    columns = (("Name", "NAME"), ("Description", "DESCRIPTION"), ("StarCount", "STARS"), ("IsOfficial", "OFFICIAL"))
    show(columns, rows, options["format"])
    return 0


def login(client: Client, options: Options) -> int:
    """``login``: have the registry check a name and password, and keep them."""
    from mini_docker.commands.credentials import KeyRing

    registry = _registry(options)
    ring = KeyRing()
    if options["password"] and options["password-stdin"]:
        raise CommandFailed("--password and --password-stdin are mutually exclusive")
    if options["password-stdin"]:
        if not options["username"]:
            raise CommandFailed("Must provide --username with --password-stdin")
        user, password = options["username"], sys.stdin.read().rstrip("\r\n")
    else:
        if options["password"]:
            print("WARNING! Using --password via the CLI is insecure. Use --password-stdin.", file=sys.stderr)
        known = ring.get(registry)
        user, password = options["username"] or known.get("username", ""), options["password"]
        if not options["username"] and not password and known:
            password = known.get("password", "")
        user, password = _ask(user, password)
    auth = {"username": user, "password": password, "serveraddress": registry}
    answer = client.post("/auth", value=auth) or {}
    ring.put(registry, user, password, answer.get("IdentityToken", ""))
    print(answer.get("Status") or "Login Succeeded")
    return 0


def _ask(user: str, password: str) -> tuple[str, str]:
    if user and password:
        return user, password
    if not sys.stdin.isatty():
        raise CommandFailed("Error: Cannot perform an interactive login from a non TTY device")
    from getpass import getpass

    user = user or input("Username: ").strip()
    password = password or getpass("Password: ")
    if not user or not password:
        raise CommandFailed("Error: Username and password are required")
    return user, password


def logout(client: Client, options: Options) -> int:
    """``logout``: forget the name and password."""
    from mini_docker.commands.credentials import KeyRing

    registry = _registry(options)
    if not KeyRing().remove(registry):
        print(f"Not logged in to {registry}")
    else:
        print(f"Removing login credentials for {registry}")
    return 0


def _registry(options: Options) -> str:
    """The registry's name without its scheme; Docker's own when none is given."""
    name = options.args[0] if options.args else ""
    if name in ("", "docker.io", "index.docker.io", reference.OFFICIAL_REGISTRY):
        return reference.OFFICIAL_REGISTRY
    return name.removeprefix("https://").removeprefix("http://").rstrip("/")


COMMANDS: dict[str, Any] = {
    "pull": Command(
        "pull", "[OPTIONS] NAME[:TAG|@DIGEST]", "Download an image from a registry", pull,
        (
            Flag("all-tags", "a", SWITCH, "Download all tagged images in the repository"),
            Flag("platform", "", STRING, "Set platform if server is multi-platform capable"),
            Flag("quiet", "q", SWITCH, "Suppress verbose output"),
        ),
        (1, 1),
    ),
    "push": Command(
        "push", "[OPTIONS] NAME[:TAG]", "Upload an image to a registry", push,
        (
            Flag("all-tags", "a", SWITCH, "Push all tags of an image to the repository"),
            Flag("quiet", "q", SWITCH, "Suppress verbose output"),
        ),
        (1, 1),
    ),
    "search": Command(
        "search", "[OPTIONS] TERM", "Search a registry for images", search,
        (FILTER, FORMAT, NO_TRUNC, Flag("limit", "", INT, "Max number of search results")), (1, 1),
    ),
    "login": Command(
        "login", "[OPTIONS] [SERVER]", "Authenticate to a registry", login,
        (
            Flag("password", "p", STRING, "Password"),
            Flag("password-stdin", "", SWITCH, "Take the Password from stdin"),
            Flag("username", "u", STRING, "Username"),
        ),
        (0, 1),
    ),
    "logout": Command("logout", "[SERVER]", "Log out from a registry", logout, (), (0, 1)),
}  # fmt: skip

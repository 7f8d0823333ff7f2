"""Images: list, name, remove, look back, and carry in and out as tar files."""

from __future__ import annotations

import os
import sys
import time

from mini_docker import units
from mini_docker.commands import reference, specs
from mini_docker.commands.descriptors import write_all
from mini_docker.commands.failure import CommandFailed, for_each
from mini_docker.commands.listing import FILTER, FORMAT, NO_TRUNC, PRUNE_FILTER, QUIET, ellipsis, short_id, show
from mini_docker.commands.options import LIST, STRING, SWITCH, Command, Flag

TYPE_CHECKING = False  # what typing.TYPE_CHECKING is, without its 3 ms
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any, BinaryIO

    from mini_docker.client import Client
    from mini_docker.commands.options import Options

CHUNK = 256 * 1024

NONE = "<none>"


def images(client: Client, options: Options) -> int:
    """``images``: one row a name; an image without one is dangling. ``--tree`` and ``--viz`` draw families."""
    if options["tree"] or options["viz"]:
        return _draw(client, options)
    words = list(options["filter"])
    if options.args:
        words.append(f"reference={options.args[0]}")
    found = client.get("/images/json", {"all": options["all"], "filters": specs.parse_filters(words)})
    rows = []
    for image in found:
        rows += _rows(image, options["no-trunc"], options["digests"])
    columns = [
        ("Repository", "REPOSITORY"), ("Tag", "TAG"), ("ID", "IMAGE ID"), ("CreatedSince", "CREATED"), ("Size", "SIZE"),
    ]  # fmt: skip
    if options["digests"]:
        columns.insert(2, ("Digest", "DIGEST"))
    show(columns, rows, options["format"], "ID" if options["quiet"] else "")
    return 0


def _draw(client: Client, options: Options) -> int:
    """All images as a picture that the daemon drew."""
    if options["tree"] and options["viz"]:
        raise CommandFailed("Conflicting options: --tree and --viz")
    if options.args or options["filter"] or options["quiet"] or options["format"]:
        raise CommandFailed("--tree and --viz show all images: they take no name, filter, format or -q")
    for piece in client.open("GET", "/images/tree" if options["tree"] else "/images/viz").pieces():
        write_all(1, piece)
    return 0


def _rows(image: dict[str, Any], whole: bool, digests: bool) -> list[dict[str, str]]:
    by_repository = {
        name: digest for name, _, digest in (word.partition("@") for word in image.get("RepoDigests") or ())
    }
    names = [reference.split(name) for name in image.get("RepoTags") or () if name != f"{NONE}:{NONE}"]
    if not names:
        names = [(name, NONE) for name in by_repository if name != NONE] if digests else []
    created = image["Created"]
    common = {
        "ID": short_id(image["Id"], whole),
        "CreatedSince": units.human_duration(time.time() - created) + " ago" if created > 0 else "N/A",
        "CreatedAt": time.strftime("%Y-%m-%d %H:%M:%S %z %Z", time.localtime(created)),
        "Size": units.human_size(image["Size"]),
        "VirtualSize": units.human_size(image.get("VirtualSize") or image["Size"]),
    }
    return [
        {"Repository": name, "Tag": tag, "Digest": by_repository.get(name, NONE)} | common
        for name, tag in names or [(NONE, NONE)]
    ]


def rmi(client: Client, options: Options) -> int:
    """``rmi``: take names away, and the image with the last one."""
    query = {"force": options["force"], "noprune": options["no-prune"]}

    def act(name: str) -> None:
        for item in client.delete(f"/images/{name}", query) or ():
            print("\n".join(f"{what}: {item[what]}" for what in ("Untagged", "Deleted") if item.get(what)))

    return for_each(options.args, act)


def tag(client: Client, options: Options) -> int:
    """``tag``: one more name for an image."""
    source, target = options.args
    repository, name = reference.split(target)
    client.post(f"/images/{source}/tag", {"repo": repository, "tag": name})
    return 0


def history(client: Client, options: Options) -> int:
    """``history``: the layers of an image, the newest first."""
    whole, human = options["no-trunc"], options["human"]
    rows = []
    for layer in client.get(f"/images/{options.args[0]}/history"):
        age = units.human_duration(time.time() - layer["Created"]) + " ago" if layer["Created"] > 0 else "N/A"
        date = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(layer["Created"]))
        rows.append({
            "ID": short_id(layer["Id"], whole),
            "CreatedSince": age if human else date,
            "CreatedAt": date,
            "CreatedBy": (layer["CreatedBy"] if whole else ellipsis(layer["CreatedBy"], 45)).replace("\t", " "),
            "Size": units.human_size(layer["Size"]) if human else str(layer["Size"]),
            "Comment": layer.get("Comment", ""),
        })  # fmt: skip
    columns = (
        ("ID", "IMAGE"), ("CreatedSince", "CREATED"), ("CreatedBy", "CREATED BY"), ("Size", "SIZE"),
        ("Comment", "COMMENT"),
    )  # fmt: skip
    show(columns, rows, options["format"], "ID" if options["quiet"] else "")
    return 0


def commit(client: Client, options: Options) -> int:
    """``commit``: make an image of what a container has become."""
    container, *rest = options.args
    repository, name = reference.split(rest[0]) if rest else ("", "")
    query = {
        "container": container, "repo": repository, "tag": name, "comment": options["message"],
        "author": options["author"], "changes": options["change"], "pause": "" if options["pause"] else "0",
    }  # fmt: skip
    print(client.post("/commit", query, {})["Id"])
    return 0


def import_(client: Client, options: Options) -> int:
    """``import``: make an image of a tar file of a root file system, from here or from a URL."""
    source, *rest = options.args
    repository, name = reference.split(rest[0]) if rest else ("", "")
    remote = source.startswith(("http://", "https://"))
    query = {
        "fromSrc": source if remote else "-", "repo": repository, "tag": name, "message": options["message"],
        "changes": options["change"], "platform": options["platform"],
    }  # fmt: skip
    if remote:
        response = client.open("POST", "/images/create", query)
    else:
        response = client.open("POST", "/images/create", query, _TAR, _file_pieces("" if source == "-" else source))
    _show(response.json_lines(), False)
    return 0


_TAR = {"Content-Type": "application/x-tar"}


def load(client: Client, options: Options) -> int:
    """``load``: take in images that ``save`` wrote."""
    if not options["input"] and sys.stdin.isatty():
        raise CommandFailed("requested load from stdin, but stdin is empty")
    body = _file_pieces(options["input"])
    response = client.open("POST", "/images/load", {"quiet": options["quiet"]}, _TAR, body)
    _show(response.json_lines(), False)
    return 0


def _show(lines: Iterable[dict[str, Any]], quiet: bool) -> None:
    from mini_docker.commands.progress import show_progress

    show_progress(lines, sys.stdout, quiet)


def save(client: Client, options: Options) -> int:
    """``save``: write images, with their layers and names, to a tar file."""
    response = client.open("GET", "/images/get", {"names": options.args, "platform": options["platform"]})
    write_file(response.pieces(), options["output"])
    return 0


def _file_pieces(path: str) -> Iterator[bytes]:
    """A file (standard input when *path* is empty), piece by piece.

    Raises:
        CommandFailed: it cannot be opened. At once, before any request is made.
    """
    try:
        file: BinaryIO = open(path, "rb", buffering=0) if path else os.fdopen(0, "rb", buffering=0, closefd=False)  # noqa: SIM115
    except OSError as error:
        raise CommandFailed(f"open {path}: {error.strerror}") from None
    return iter(lambda: file.read(CHUNK), b"")


def write_file(pieces: Iterable[bytes], path: str) -> None:
    """Write to the file *path*, whole or not at all; to standard output when it is empty.

    Raises:
        CommandFailed: standard output is a terminal, or the file cannot be written.
    """
    if not path:
        if os.isatty(1):
            raise CommandFailed("cowardly refusing to save to a terminal. Use the -o flag or redirect")
        for piece in pieces:
            write_all(1, piece)
        return
    beside = f"{path}.{os.getpid()}.part"
    try:
        if os.path.exists(path) and not os.path.isfile(path):
            beside = path  # a pipe or device is written to as it is
        with open(beside, "wb") as file:
            for piece in pieces:
                file.write(piece)
        if beside != path:
            os.replace(beside, path)
    except OSError as error:
        raise CommandFailed(f"cannot write {path}: {error.strerror}") from None
    finally:
        if beside != path and os.path.exists(beside):
            os.unlink(beside)


def prune(client: Client, options: Options) -> int:
    """``image prune``: remove dangling images, or with ``-a`` all that no container uses."""
    from mini_docker.commands.prune import prune_one

    warning = "This will remove all " + (
        "images without at least one container associated to them." if options["all"] else "dangling images."
    )
    filters = specs.parse_filters([*options["filter"], f"dangling={'false' if options['all'] else 'true'}"])
    return prune_one(client, options, "images", warning, filters)


_CHANGE = Flag("change", "c", LIST, "Apply Dockerfile instruction to the created image")
_PLATFORM = Flag("platform", "", STRING, "Set platform if server is multi-platform capable")

COMMANDS: dict[str, Any] = {
    "images": Command(
        "images", "[OPTIONS] [REPOSITORY[:TAG]]", "List images", images,
        (
            Flag("all", "a", SWITCH, "Show all images (default hides intermediate images)"),
            Flag("digests", "", SWITCH, "Show digests"),
            FILTER, FORMAT, NO_TRUNC, QUIET,
            Flag("tree", "", SWITCH, "Show who was made from whom, as a tree"),
            Flag("viz", "", SWITCH, "Show who was made from whom, as a graph for Graphviz"),
        ),
        (0, 1),
    ),
    "rmi": Command(
        "rmi", "[OPTIONS] IMAGE [IMAGE...]", "Remove one or more images", rmi,
        (
            Flag("force", "f", SWITCH, "Force removal of the image"),
            Flag("no-prune", "", SWITCH, "Do not delete untagged parents"),
        ),
        (1, None),
    ),
    "tag": Command(
        "tag", "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]", "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE", tag,
        (), (2, 2),
    ),
    "history": Command(
        "history", "[OPTIONS] IMAGE", "Show the history of an image", history,
        (FORMAT, NO_TRUNC, QUIET, Flag("human", "H", SWITCH, "Print sizes and dates in human readable format", True)),
        (1, 1),
    ),
    "commit": Command(
        "commit", "[OPTIONS] CONTAINER [REPOSITORY[:TAG]]", "Create a new image from a container's changes", commit,
        (
            Flag("author", "a", STRING, 'Author (e.g., "John Hannibal Smith <hannibal@a-team.com>")'),
            _CHANGE,
            Flag("message", "m", STRING, "Commit message"),
            Flag("pause", "p", SWITCH, "Pause container during commit", True),
        ),
        (1, 2),
    ),
    "import": Command(
        "import", "[OPTIONS] file|URL|- [REPOSITORY[:TAG]]",
        "Import the contents from a tarball to create a filesystem image", import_,
        (_CHANGE, Flag("message", "m", STRING, "Set commit message for imported image"), _PLATFORM), (1, 2),
    ),
    "load": Command(
        "load", "[OPTIONS]", "Load an image from a tar archive or STDIN", load,
        (
            Flag("input", "i", STRING, "Read from tar archive file, instead of STDIN"),
            Flag("quiet", "q", SWITCH, "Suppress the load output"),
        ),
    ),
    "save": Command(
        "save", "[OPTIONS] IMAGE [IMAGE...]", "Save images to a tar archive (streamed to STDOUT by default)",
        save, (Flag("output", "o", STRING, "Write to a file, instead of STDOUT"), _PLATFORM), (1, None),
    ),
    "image prune": Command(
        "image prune", "[OPTIONS]", "Remove unused images", prune,
        (
            Flag("all", "a", SWITCH, "Remove all unused images, not just dangling ones"),
            PRUNE_FILTER,
            Flag("force", "f", SWITCH, "Do not prompt for confirmation"),
        ),
    ),
}  # fmt: skip

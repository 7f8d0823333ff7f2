"""The broom: remove what is not used, after asking."""

from __future__ import annotations

import sys

from mini_docker.commands.failure import CommandFailed
from mini_docker.units import human_size

TYPE_CHECKING = False  # what typing.TYPE_CHECKING is, without its 3 ms
if TYPE_CHECKING:
    from typing import Any

    from mini_docker.client import Client
    from mini_docker.commands.options import Options


def prune_one(client: Client, options: Options, kind: str, warning: str, filters: str) -> int:
    """Ask (unless ``--force``), prune one *kind* of thing, and say what went."""
    if not options["force"]:
        confirm(warning)
    reclaimed = sweep(client, kind, filters)
    if kind != "networks":
        print(f"Total reclaimed space: {human_size(reclaimed, 4)}")
    return 0


def confirm(warning: str) -> None:
    """Return when the person says yes.

    Raises:
        CommandFailed: the person does not.
    """
    print(f"WARNING! {warning}\nAre you sure you want to continue? [y/N] ", end="", flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise CommandFailed("")


def sweep(client: Client, kind: str, filters: str) -> int:
    """Prune *kind* (containers, images, networks, volumes), list what was deleted; bytes that were freed."""
    answer: dict[str, Any] = client.post(f"/{kind}/prune", {"filters": filters})
    deleted = answer.get(f"{kind.capitalize()}Deleted") or ()
    if deleted:
        print(f"Deleted {kind.capitalize()}:")
        for item in deleted:
            print(_line(item) if isinstance(item, dict) else item)
        print()
    return int(answer.get("SpaceReclaimed") or 0)


def _line(item: dict[str, str]) -> str:
    return f"untagged: {item['Untagged']}" if item.get("Untagged") else f"deleted: {item.get('Deleted', '')}"

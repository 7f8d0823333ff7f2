"""The table of jobs, as data: what each job does, and which job of classic Docker it descends from.

The handler of each is not here: it is read from the code when the page is built (`registered.py`).
`tests/docs/test_job_table.py` holds this table to the code and to the fifty jobs of Docker 1.2.
"""

from __future__ import annotations

from dataclasses import dataclass

OURS = "ours"

CLASSIC: dict[str, tuple[str, ...]] = {
    "engine": ("commands",),
    "builtins": ("version", "serveapi", "acceptconnections", "init_networkdriver"),
    "events": ("events", "log", "subscribers_count"),
    "registry": ("auth", "search"),
    "daemon": (
        "attach", "build", "commit", "container_changes", "container_copy", "container_inspect", "containers", "create",
        "delete", "export", "info", "kill", "logs", "pause", "resize", "restart", "start", "stop", "top", "unpause",
        "wait", "image_delete",
    ),
    "graph": (
        "image_set", "image_tag", "tag", "image_get", "image_inspect", "image_tarlayer", "image_export", "history",
        "images", "viz", "load", "import", "pull", "push",
    ),
    "bridge": ("allocate_interface", "release_interface", "allocate_port", "link"),
}  # fmt: skip
"""The fifty jobs of Docker 1.2, by who registered them. Source: moby's history at v1.2.0."""

WENT: dict[str, str] = {
    "commands": "a method, `Engine.commands`: a list needs no job of its own to be asked for",
}
"""Classic jobs that are not registered here, and where they went."""


@dataclass(frozen=True, slots=True)
class JobLine:
    """One job of ours.

    Attributes:
        ancestor: the classic job's name, or ``ours``.
        does: in a few words.
    """

    name: str
    ancestor: str
    does: str


def _classic(does: dict[str, str]) -> tuple[JobLine, ...]:
    return tuple(JobLine(name, name, words) for name, words in does.items())


def _ours(does: dict[str, str]) -> tuple[JobLine, ...]:
    return tuple(JobLine(name, OURS, words) for name, words in does.items())


GROUPS: dict[str, tuple[JobLine, ...]] = {
    "The house itself": (
        *_classic({
            "serveapi": "listen; clients queue until the daemon is ready",
            "acceptconnections": "open the door: the daemon is ready",
            "init_networkdriver": "make the default networks, or find them again",
            "version": "which version of what",
            "info": "the daemon, its drivers and its machine",
            "events": "what happened, and goes on happening",
            "log": "tell the town crier something that happened",
            "subscribers_count": "how many listen to the events",
        }),
        *_ours({
            "ping": "are you there? (newer clients ask before anything else)",
            "jobs": "the trace: which job ran which, for how long",
            "system_df": "what uses how much of the disk",
        }),
    ),
    "A container's life": (
        *_classic({
            "create": "from an order to a container that is ready to start",
            "start": "from a created container to a running one",
            "stop": "ask it to end; insist after a while",
            "kill": "send a signal",
            "restart": "stop, then start",
            "pause": "freeze its processes",
            "unpause": "thaw them",
            "wait": "block until it has stopped; its exit code",
            "delete": "take it away, with its layers and names",
            "containers": "all of them, a line each",
            "container_inspect": "one, whole",
            "top": "its processes, as the host's ps shows them",
            "logs": "what it wrote",
            "attach": "talk with its process",
            "resize": "tell its terminal the size",
        }),
        *_ours({
            "exit": "its process has ended: see to its estate",
            "update": "other limits, other restart policy",
            "stats": "what it uses of the machine",
            "container_rename": "another name (a job of 1.5)",
            "container_prune": "all stopped ones go",
        }),
    ),
    "Further processes in a container": _ours({
        "exec_create": "note what shall run (exec came with 1.3)",
        "exec_start": "run it, and talk with it",
        "exec_resize": "tell its terminal the size",
        "exec_inspect": "how it is, or how it ended",
        "exec_exit": "it has ended: tell who waits",
    }),
    "A container's files": (
        *_classic({
            "container_changes": "what it added, changed, deleted",
            "container_copy": "files out of it, as a tar",
            "export": "its whole file system, as a tar",
            "commit": "its changes become a layer, and an image",
        }),
        *_ours({
            "container_stat": "one path in it",
            "container_extract": "a tar unpacked into it",
        }),
    ),
    "Images": (
        *_classic({
            "build": "carry out a Dockerfile: each line a container, each container the next image",
            "images": "all of them, a line each",
            "image_inspect": "one, whole",
            "image_get": "one, as other jobs want it",
            "image_set": "store an image's text in the graph",
            "image_tarlayer": "a layer, as a tar",
            "image_export": "images in a moving box (save)",
            "load": "and out of it",
            "import": "an image of one layer from a tar",
            "history": "how it came about, line by line",
            "tag": "give it a name",
            "viz": "the family tree, for Graphviz",
            "image_delete": "take a name away, and what then has none",
        }),
        JobLine("image_tag", "image_tag", "the same as tag, for other jobs"),
        *_ours({
            "image_tree": "the family tree, for a terminal",
            "image_prune": "images without a name or a user go",
        }),
    ),
    "Registries": (
        *_classic({
            "pull": "bring an image here",
            "push": "bring one there",
            "search": "look for names",
            "auth": "check a log-in",
        }),
        *_ours({
            "pull_manifest": "fetch an image's papers",
            "pull_layer": "fetch one layer, for however many pulls",
            "push_layer": "send one layer, unless it is there",
            "distribution_inspect": "what a registry has under a name",
        }),
    ),
    "Networks": (
        *_classic({
            "allocate_interface": "lease an address for an endpoint",
            "release_interface": "give it back",
            "allocate_port": "publish a port",
            "link": "let one container reach another's port",
        }),
        *_ours({
            "networks": "all of them",
            "network_create": "a new one (user-defined networks came with 1.9)",
            "network_inspect": "one, and who is on it",
            "network_delete": "it goes",
            "network_prune": "all that nobody uses go",
            "network_show": "all of them with their containers, ports and rules, drawn",
            "network_connect": "plug a running container in",
            "network_disconnect": "pull the plug",
        }),
    ),
    "What stock clients ask, to learn what we are not": _ours({
        "plugins": "there are none",
        "plugin_inspect": "there is no such plugin",
        "swarm_inspect": "this is one machine alone",
        "swarm_leave": "and so it cannot leave",
    }),
    "Volumes": _ours({
        "volumes": "all of them (volumes with names came with 1.9)",
        "volume_create": "a new one",
        "volume_inspect": "one",
        "volume_delete": "it goes",
        "volume_prune": "all that nobody uses go",
    }),
}  # fmt: skip


def lines() -> dict[str, JobLine]:
    """The table by name."""
    return {line.name: line for group in GROUPS.values() for line in group}


def classic_names() -> tuple[str, ...]:
    """The fifty."""
    return tuple(name for names in CLASSIC.values() for name in names)

"""The route table: what a client may ask for, and the one job that each request becomes.

It is data. What a job does, the engine's table knows; how its output travels, `conversations.py`
does. A job that nobody registered answers 501.

How a request becomes a job, for every route alike:

- path parameters are the job's arguments, in order;
- query parameters are its environment, verbatim (one that is repeated: as a JSON list);
- the headers in `HEADERS_FOR_JOBS` are environment, too, under their own names;
- the body is its standard input, and its standard output is the answer's body;
- of a hijacked route standard input and output are the connection itself, so the body, a small
  JSON object if there is one, becomes environment: strings verbatim, other values as JSON.

Source: Docker Engine API 1.41; job names are classic Docker's where it had them.
"""

from __future__ import annotations

from enum import Enum, auto

from mini_docker.dataclasses import dataclass, field
from mini_docker.remote_api import RAW_STREAM

HEADERS_FOR_JOBS = ("X-Registry-Auth", "X-Registry-Config", "Content-Type")

JSON = "application/json"
TAR = "application/x-tar"
TEXT = "text/plain; charset=utf-8"


class Kind(Enum):
    """How a job's output travels to the client."""

    DOCUMENT = auto()
    """Whole, when the job has ended, with its length."""
    STREAM = auto()
    """As it comes, in chunks; the head leaves with the first write or the first flush."""
    PROGRESS = auto()
    """A stream of JSON lines, the last of which may be an error."""
    HIJACK = auto()
    """On the raw connection, both ways; the switch is answered at the first read, write or flush."""


@dataclass(frozen=True, slots=True)
class Route:
    """One line of the table.

    Attributes:
        method: HTTP's.
        pattern: a path; ``{name}`` stands for one segment, ``{name:path}`` for one or more.
        job: the job's name.
        status: of success; 204 has no body.
        kind: how the output travels.
        content_type: of the output.
        requires: a query parameter without which the route does not match.
        upload: the body is an archive, of any size; otherwise the server's limit holds.
        line_header: the job's first line of output is not body but, base64-coded, this header.
        headers: further ones of this route's answers.
    """

    method: str
    pattern: str
    job: str
    status: int = 200
    kind: Kind = Kind.DOCUMENT
    content_type: str = JSON
    requires: str = ""
    upload: bool = False
    line_header: str = ""
    headers: tuple[tuple[str, str], ...] = field(default=())


PATH_STAT = "X-Docker-Container-Path-Stat"

_PING_HEADERS = (
    ("Builder-Version", "1"),  # the classic builder: clients must not try BuildKit
    ("Cache-Control", "no-cache, no-store, must-revalidate"),
    ("Pragma", "no-cache"),
)

ROUTES: tuple[Route, ...] = (
    # System
    Route("GET", "/_ping", "ping", content_type=TEXT, headers=_PING_HEADERS),
    Route("HEAD", "/_ping", "ping", content_type=TEXT, headers=_PING_HEADERS),
    Route("GET", "/version", "version"),
    Route("GET", "/info", "info"),
    Route("GET", "/events", "events", kind=Kind.STREAM),
    Route("GET", "/system/df", "system_df"),
    Route("GET", "/system/network", "network_show", content_type=TEXT),  # ours; under /networks it would be a name
    Route("POST", "/auth", "auth"),
    Route("GET", "/jobs", "jobs", kind=Kind.STREAM),
    # Containers
    Route("GET", "/containers/json", "containers"),
    Route("POST", "/containers/create", "create", 201),
    Route("POST", "/containers/prune", "container_prune"),
    Route("GET", "/containers/{id}/json", "container_inspect"),
    Route("GET", "/containers/{id}/top", "top"),
    Route("GET", "/containers/{id}/logs", "logs", kind=Kind.STREAM, content_type=RAW_STREAM),
    Route("GET", "/containers/{id}/changes", "container_changes"),
    Route("GET", "/containers/{id}/export", "export", kind=Kind.STREAM, content_type="application/octet-stream"),
    Route("GET", "/containers/{id}/stats", "stats", kind=Kind.STREAM),
    Route("POST", "/containers/{id}/resize", "resize"),
    Route("POST", "/containers/{id}/start", "start", kind=Kind.PROGRESS, requires="narrate"),  # ours
    Route("POST", "/containers/{id}/start", "start", 204),
    Route("POST", "/containers/{id}/stop", "stop", 204),
    Route("POST", "/containers/{id}/restart", "restart", 204),
    Route("POST", "/containers/{id}/kill", "kill", 204),
    Route("POST", "/containers/{id}/update", "update"),
    Route("POST", "/containers/{id}/rename", "container_rename", 204),
    Route("POST", "/containers/{id}/pause", "pause", 204),
    Route("POST", "/containers/{id}/unpause", "unpause", 204),
    Route("POST", "/containers/{id}/attach", "attach", kind=Kind.HIJACK, content_type=RAW_STREAM),
    Route("POST", "/containers/{id}/wait", "wait", kind=Kind.STREAM),
    Route("DELETE", "/containers/{id}", "delete", 204),
    Route("HEAD", "/containers/{id}/archive", "container_stat", line_header=PATH_STAT),
    Route(
        "GET", "/containers/{id}/archive", "container_copy",
        kind=Kind.STREAM, content_type=TAR, line_header=PATH_STAT,
    ),
    Route("PUT", "/containers/{id}/archive", "container_extract", upload=True),
    # Processes inside containers
    Route("POST", "/containers/{id}/exec", "exec_create", 201),
    Route("POST", "/exec/{id}/start", "exec_start", kind=Kind.HIJACK, content_type=RAW_STREAM),
    Route("POST", "/exec/{id}/resize", "exec_resize"),
    Route("GET", "/exec/{id}/json", "exec_inspect"),
    # Images
    Route("GET", "/images/json", "images"),
    Route("GET", "/images/search", "search"),
    Route("GET", "/images/viz", "viz", content_type=TEXT),
    Route("GET", "/images/tree", "image_tree", content_type=TEXT),
    Route("GET", "/images/get", "image_export", kind=Kind.STREAM, content_type=TAR, requires="names"),
    Route("POST", "/images/load", "load", kind=Kind.PROGRESS, upload=True),
    Route("POST", "/images/create", "pull", kind=Kind.PROGRESS, requires="fromImage"),
    Route("POST", "/images/create", "import", kind=Kind.PROGRESS, requires="fromSrc", upload=True),
    Route("POST", "/images/prune", "image_prune"),
    Route("GET", "/images/{name:path}/json", "image_inspect"),
    Route("GET", "/images/{name:path}/history", "history"),
    Route("GET", "/images/{name:path}/get", "image_export", kind=Kind.STREAM, content_type=TAR),
    Route("POST", "/images/{name:path}/push", "push", kind=Kind.PROGRESS),
    Route("POST", "/images/{name:path}/tag", "tag", 201),
    Route("DELETE", "/images/{name:path}", "image_delete"),
    Route("GET", "/distribution/{name:path}/json", "distribution_inspect"),
    Route("POST", "/commit", "commit", 201),
    Route("POST", "/build", "build", kind=Kind.PROGRESS, upload=True),
    Route("POST", "/build/prune", "build_prune"),
    Route("POST", "/session", "session", kind=Kind.HIJACK, content_type=RAW_STREAM),
    # Networks
    Route("GET", "/networks", "networks"),
    Route("POST", "/networks/create", "network_create", 201),
    Route("POST", "/networks/prune", "network_prune"),
    Route("GET", "/networks/{id}", "network_inspect"),
    Route("DELETE", "/networks/{id}", "network_delete", 204),
    Route("POST", "/networks/{id}/connect", "network_connect"),
    Route("POST", "/networks/{id}/disconnect", "network_disconnect"),
    # Volumes
    Route("GET", "/volumes", "volumes"),
    Route("POST", "/volumes/create", "volume_create", 201),
    Route("POST", "/volumes/prune", "volume_prune"),
    Route("GET", "/volumes/{name}", "volume_inspect"),
    Route("DELETE", "/volumes/{name}", "volume_delete", 204),
    # What stock clients ask before they give up on a name or a swarm
    Route("GET", "/plugins", "plugins"),
    Route("GET", "/plugins/{name:path}/json", "plugin_inspect"),
    Route("GET", "/swarm", "swarm_inspect"),
    Route("POST", "/swarm/leave", "swarm_leave"),
)  # fmt: skip

"""Trees for tests: strategies that invent them, a builder that makes them, and a reader that tells all about one.

The reader is written with plain `os` calls and shares no code with what is tested.
"""

from __future__ import annotations

import itertools
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

_times = itertools.count(1_600_000_000_123_456_789, 1_000_000_007)


@dataclass
class Node:
    """A file to make: kind is one of file, directory, symlink, fifo, device."""

    kind: str
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    content: bytes = b""
    target: bytes = b"somewhere"
    attributes: dict[str, bytes] = field(default_factory=dict)
    children: dict[bytes, Node] = field(default_factory=dict)


def is_name(name: bytes) -> bool:
    return name not in (b".", b"..") and not name.startswith(b".wh.") and b"/" not in name and b"\0" not in name


names = st.one_of(
    st.sampled_from([b"a", b"b", b"c", b"etc"]),
    st.binary(min_size=1, max_size=12).filter(is_name),
    st.sampled_from([b"long-" + b"n" * 250, "übergröße".encode(), b"\xff\xfe", b"new\nline", b" space", b"-dash"]),
)
modes = st.sampled_from([0o644, 0o600, 0o755, 0o4755, 0o2711, 0o1777, 0o000, 0o222])
owners = st.sampled_from([0, 1, 1000, 65534, 3_000_000])
attributes = st.one_of(
    st.just({}),
    st.dictionaries(
        st.sampled_from(["user.note", "trusted.md", "user.ünï"]), st.binary(min_size=1, max_size=40), max_size=2
    ),
)
capability = bytes.fromhex("0100000200040000000000000000000000000000")
files = st.builds(
    Node, st.just("file"), modes, owners, owners, content=st.binary(max_size=1500),
    attributes=st.one_of(attributes, st.just({"security.capability": capability})),
)  # fmt: skip
targets = st.binary(min_size=1, max_size=150).filter(lambda name: b"\0" not in name)
leaves = st.one_of(
    files,
    files,
    st.builds(Node, st.just("symlink"), st.just(0o777), owners, owners, target=targets),
    st.builds(Node, st.sampled_from(["fifo", "device"]), modes, owners, owners),
)
nodes = st.recursive(
    leaves,
    lambda inner: st.builds(
        Node, st.just("directory"), modes, owners, owners, attributes=attributes,
        children=st.dictionaries(names, inner, max_size=4),
    ),
    max_leaves=8,
)  # fmt: skip
trees = st.dictionaries(names, nodes, max_size=4)


def build(root: Path | bytes, tree: dict[bytes, Node]) -> None:
    """Make the tree below *root*; every file gets a time of its own."""
    top = os.fsencode(root)
    for name, node in tree.items():
        path = top + b"/" + name
        if node.kind == "file":
            with open(path, "wb") as file:
                file.write(node.content)
        elif node.kind == "directory":
            os.mkdir(path)
            build(path, node.children)
        elif node.kind == "symlink":
            os.symlink(node.target, path)
        elif node.kind == "fifo":
            os.mkfifo(path)
        else:
            os.mknod(path, stat.S_IFCHR, os.makedev(1, 3))
        os.chown(path, node.uid, node.gid, follow_symlinks=False)
        if node.kind != "symlink":
            os.chmod(path, node.mode)
        for key, value in node.attributes.items():
            os.setxattr(path, key, value)
        time_ns = next(_times)
        os.utime(path, ns=(time_ns, time_ns), follow_symlinks=False)


def describe(root: Path | str | bytes) -> dict[bytes, Any]:
    """Everything that must survive a journey, by path from *root*: metadata, content, and who is whose hard link."""
    top = os.fsencode(root)
    found: dict[bytes, Any] = {}
    links: dict[tuple[int, int], list[bytes]] = {}

    def visit(path: bytes, relative: bytes) -> None:
        if not relative:
            path += b"/."  # the root may be given by a link, such as /proc/self/fd/5
        status = os.lstat(path)
        kind = stat.S_IFMT(status.st_mode)
        payload: Any = None
        if kind == stat.S_IFREG:
            payload = Path(os.fsdecode(path)).read_bytes()
        elif kind == stat.S_IFLNK:
            payload = os.readlink(path)
        elif kind in (stat.S_IFCHR, stat.S_IFBLK):
            payload = status.st_rdev
        extended = {
            key: os.getxattr(path, key, follow_symlinks=False)
            for key in os.listxattr(path, follow_symlinks=False)
            if not key.startswith("trusted.overlay.") and key != "btrfs.compression"
        }
        if kind != stat.S_IFDIR and status.st_nlink > 1:
            links.setdefault((status.st_dev, status.st_ino), []).append(relative)
        # The root's own time changes with every file that is put there.
        time_ns = status.st_mtime_ns if relative else 0
        found[relative] = [
            kind,
            oct(stat.S_IMODE(status.st_mode)),
            status.st_uid,
            status.st_gid,
            time_ns,
            payload,
            extended,
        ]
        if kind == stat.S_IFDIR:
            for name in sorted(os.listdir(path)):
                visit(path + b"/" + name, relative + b"/" + name if relative else name)

    visit(top, b"")
    for group in links.values():
        for path in group:
            found[path].append(group)
    return found


@contextmanager
def folder() -> Iterator[Path]:
    """An empty folder for one example, in memory where there is a memory file system."""
    shm = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="mini-docker-tree-", dir=shm if os.access(shm, os.W_OK) else None) as name:
        yield Path(name)


def emptied(path: Path) -> Path:
    """A new directory at *path*, mode 0755."""
    path.mkdir()
    path.chmod(0o755)
    return path

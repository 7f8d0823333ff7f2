"""Memory is bounded whatever a layer's size: a layer of 2 GB goes through the graph in a few pieces of a process."""

from __future__ import annotations

import gzip
import subprocess
import sys
import tarfile
from pathlib import Path

LIMIT_BYTES = 64 << 20
WORK = """
import gzip, io, resource, sys, tarfile
from pathlib import Path

from mini_docker.archive.tar_reader import TarReader
from mini_docker.graph.graph import Graph
from tests.graph.fake_driver import FakeDriver

SIZE_BYTES = 2 << 30
PIECE = gzip.compress(bytes(1 << 20), 1)


class Layer(io.RawIOBase):
    '''A gzipped tar of one file: members of a megabyte each, as pigz writes them.'''

    def __init__(self):
        header = tarfile.TarInfo("big")
        header.size = SIZE_BYTES
        self._pieces = iter([gzip.compress(header.tobuf()), *[PIECE] * (SIZE_BYTES >> 20), gzip.compress(bytes(1024))])
        self._rest = b""

    def readable(self):
        return True

    def readinto(self, buffer):
        self._rest = self._rest or next(self._pieces, b"")
        count = min(len(buffer), len(self._rest))
        buffer[:count], self._rest = self._rest[:count], self._rest[count:]
        return count


class Sink(FakeDriver):
    '''Reads a layer to its end and keeps nothing.'''

    def apply(self, layer_id, parent, layer):
        reader, total = TarReader(layer), 0
        for _ in reader:
            for piece in reader.content():
                total += len(piece)
        return total


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10

root = Path(sys.argv[1])
graph = Graph(root / "graph", Sink(root / "driver"))
idle = peak()
layer = graph.add_layer(None, Layer())
assert layer.size == SIZE_BYTES, layer
print(peak() - idle)
"""


CHILD_WORK = """
import os, resource, sys

from mini_docker.graph.unpacking import UnpackOrder, carry_out
from mini_docker.linux.linux_kernel import LinuxKernel
from tests.graph.rebasing_driver import OURS


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10

idle = peak()
done = carry_out(UnpackOrder(ids=OURS), 0, os.open(sys.argv[1], os.O_RDONLY), LinuxKernel())
assert done.content_bytes == 256 << 20, done
print(peak() - idle)
"""


def test_a_process_that_unpacks_ahead_takes_little_memory(tmp_path: Path) -> None:
    """Several layers are unpacked at once: what each of their processes takes beside what they share is small."""
    packed, header = tmp_path / "layer", tarfile.TarInfo("big")
    header.size = 256 << 20
    with gzip.open(packed, "wb", compresslevel=1) as file:
        file.write(header.tobuf())
        for _ in range(256):
            file.write(bytes(1 << 20))
        file.write(bytes(1024))
    (tmp_path / "tree").mkdir()
    with open(packed, "rb") as source:
        done = subprocess.run(
            [sys.executable, "-c", CHILD_WORK, str(tmp_path / "tree")], stdin=source, capture_output=True, text=True,
            timeout=100, check=False, cwd=Path(__file__).parents[2],
        )  # fmt: skip
    (tmp_path / "tree/big").unlink()
    assert done.returncode == 0, done.stderr
    grown = int(done.stdout)
    assert grown < LIMIT_BYTES // 4, f"{grown >> 20} MB"


def test_a_layer_of_two_gigabytes_takes_little_memory(tmp_path: Path) -> None:
    """Decompressed, fingerprinted and stored on the way: less than 64 MB above what the process had."""
    done = subprocess.run(
        [sys.executable, "-c", WORK, str(tmp_path)], capture_output=True, text=True, timeout=100, check=False,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    grown = int(done.stdout)
    assert grown < LIMIT_BYTES, f"{grown >> 20} MB"

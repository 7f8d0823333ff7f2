"""Layers unpacked side by side by other processes: the same images, in any order of events, and nothing left."""

from __future__ import annotations

import fcntl
import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mini_docker.archive.whiteout import WhiteoutForm
from mini_docker.errors import Invalid, MiniDockerError, Unsupported
from mini_docker.graph.ahead import WORTH_BYTES, is_worthwhile
from mini_docker.graph.digest import digest_of
from mini_docker.graph.graph import Graph
from mini_docker.graph.image_archive import ArchivedImage, save
from mini_docker.graph.image_loader import load
from mini_docker.graph.layer import chain_ids, driver_layer
from mini_docker.graph.unpackers import Unpackers
from mini_docker.graph.unpacking import Unpacked, UnpackOrder, decode_report, encode_failure
from mini_docker.linux.id_mapping import IdMap, IdMapping
from tests.graph.fake_driver import FakeDriver
from tests.graph.layer_tars import add_image, config_for, squeezed, stream, tar
from tests.graph.rebasing_driver import OURS, RebasingFakeDriver, always_side_by_side

LAYERS = [tar({f"file{number}": str(number) * 1000}) for number in range(6)]
ROOT = Path(__file__).parents[2]

numbers = st.integers(0, 1 << 32)
maps = st.tuples() | st.tuples(st.builds(IdMap, numbers, numbers, numbers))


@pytest.fixture
def side_by_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Graph]:
    always_side_by_side(monkeypatch)
    yield Graph(tmp_path / "graph", RebasingFakeDriver(tmp_path / "fake"), Unpackers())
    assert not list((tmp_path / "graph/tmp").iterdir())
    assert [path.name for path in (tmp_path / "fake").iterdir() if path.name.startswith(".")] == []


def archive_of(tars: list[bytes], folder: Path) -> bytes:
    graph, out = Graph(folder / "graph", FakeDriver(folder / "fake")), io.BytesIO()
    save(graph, [ArchivedImage(add_image(graph, tars))], out)
    return out.getvalue()


@given(st.builds(UnpackOrder, st.sampled_from(WhiteoutForm), st.builds(IdMapping, maps, maps)))
def test_an_order_travels_whole(order: UnpackOrder) -> None:
    """What is asked for in one process is what is done in the other."""
    assert UnpackOrder.decode(order.encode()) == order


@given(st.builds(Unpacked, numbers, st.text(), st.text(), st.lists(st.binary()).map(tuple)))
def test_a_report_travels_whole(unpacked: Unpacked) -> None:
    """Names of directories are bytes, whatever they spell."""
    assert decode_report(unpacked.encode()) == unpacked


def test_a_failure_travels_as_its_kind() -> None:
    """The caller tells a hostile layer from a full disk by type, as if it had happened here; and silence is one too."""
    for error in (Invalid("bad"), Unsupported("cannot"), MiniDockerError("full")):
        with pytest.raises(type(error), match=str(error)) as raised:
            decode_report(encode_failure(error))
        assert type(raised.value) is type(error)
    with pytest.raises(MiniDockerError, match="ZeroDivisionError"):
        decode_report(encode_failure(ZeroDivisionError()))
    with pytest.raises(MiniDockerError, match="died"):
        decode_report(b"")


def test_only_much_work_is_shared_out() -> None:
    """A second process pays for several layers, on several cores, that are large enough."""
    assert is_worthwhile([WORTH_BYTES, 1], 2, compressed=True)
    assert is_worthwhile([WORTH_BYTES, 1], 3, compressed=False)
    assert not is_worthwhile([WORTH_BYTES, 1], 2, compressed=False)
    assert not is_worthwhile([WORTH_BYTES, 1], 1, compressed=True)
    assert not is_worthwhile([WORTH_BYTES], 8, compressed=True)
    assert not is_worthwhile([1000] * 100, 8, compressed=True)


def test_a_loaded_image_is_the_same(side_by_side: Graph, tmp_path: Path) -> None:
    """Base first in the driver, whichever was unpacked first; a second load finds all layers here."""
    archive = archive_of(LAYERS, tmp_path / "other")
    (loaded,) = load(side_by_side, stream(archive))
    driver = side_by_side.driver
    assert isinstance(driver, RebasingFakeDriver)
    chains = chain_ids(map(digest_of, LAYERS))
    assert driver.applied == [driver_layer(chain) for chain in chains]
    assert driver.tree(driver.applied[-1]) == {f"/file{number}": str(number) * 1000 for number in range(6)}
    assert [side_by_side.layer(chain).size for chain in chains] == [1000] * 6
    again = io.BytesIO()
    save(side_by_side, [loaded], again)
    assert again.getvalue() == archive
    load(side_by_side, stream(archive))
    assert len(driver.applied) == 6


@pytest.mark.parametrize("place", range(3))
def test_one_bad_layer_spoils_the_image_and_leaves_nothing(side_by_side: Graph, tmp_path: Path, place: int) -> None:
    """Corrupt, or another than promised: found in its turn, with those above it thrown away and those below dropped."""
    good = LAYERS[:3]
    (tmp_path / "packed").mkdir()
    for bad in (good[place][:700], LAYERS[5]):
        given_tars = [*good[:place], bad, *good[place + 1 :]]
        with pytest.raises(Invalid), side_by_side.lease():
            add_side_by_side(side_by_side, given_tars, good, tmp_path / "packed")
        assert side_by_side.driver.layers() == []


def add_side_by_side(graph: Graph, given_tars: list[bytes], promised: list[bytes], folder: Path) -> None:
    diff_ids = [digest_of(data) for data in promised]
    chains = chain_ids(diff_ids)
    files = [folder / str(number) for number in range(len(given_tars))]
    for path, data in zip(files, given_tars, strict=True):
        path.write_bytes(squeezed(data))
    streams = [open(path, "rb") for path in files]  # noqa: SIM115  # closed below
    try:
        with graph.ahead([len(data) for data in given_tars], compressed=True) as ahead:
            assert ahead is not None
            begun = [ahead.begin(source, is_base=source is streams[0]) for source in streams]
            for number, one in enumerate(begun):
                parent = chains[number - 1] if number else None
                graph.add_layer(
                    parent, streams[number], expected_diff_id=diff_ids[number], file=files[number], ahead=one
                )
        graph.register(config_for(promised))
    finally:
        for source in streams:
            source.close()


@pytest.mark.parametrize(
    "program",
    [
        "raise SystemExit",
        "import os, socket, sys; c = socket.socket(fileno=int(sys.argv[1])); socket.recv_fds(c, 9999, 3); os._exit(1)",
    ],
    ids=["before the order", "after it"],
)
def test_unpackers_that_die_fail_the_load_and_the_next_one_works(
    side_by_side: Graph, tmp_path: Path, program: str
) -> None:
    """The out-of-memory killer may choose them: the user is told, and no trace of the layers stays."""
    archive = archive_of(LAYERS, tmp_path / "other")
    broken = Graph(
        tmp_path / "graph", side_by_side.driver, Unpackers(lambda control: [sys.executable, "-c", program, control])
    )
    with pytest.raises(MiniDockerError, match="died"):
        load(broken, stream(archive))
    assert broken.driver.layers() == []
    assert len(load(side_by_side, stream(archive))) == 1


def test_a_stream_without_a_file_goes_through_a_pipe(tmp_path: Path) -> None:
    """A layer that still comes in is read here and unpacked there; its digest is of all bytes, padding included."""
    data = squeezed(LAYERS[0]) + squeezed(bytes(300_000))
    (tmp_path / "tree").mkdir()
    root = os.open(tmp_path / "tree", os.O_RDONLY)
    unpackers = Unpackers()
    try:
        with unpackers.at_work():
            unpacked = unpackers.unpack(UnpackOrder(ids=OURS), stream(data), root)
            with pytest.raises(ZeroDivisionError):
                unpackers.unpack(UnpackOrder(ids=OURS), Breaking(data[:200]), root)  # type: ignore[arg-type]
    finally:
        os.close(root)
    assert unpacked == Unpacked(1000, digest_of(data), digest_of(LAYERS[0] + bytes(300_000)), (b"",))
    assert (tmp_path / "tree/file0").read_text() == "0" * 1000


class Breaking(io.RawIOBase):
    """A stream that fails after *data*."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def read(self, size: int = -1) -> bytes:
        if not self._data:
            raise ZeroDivisionError
        data, self._data = self._data, b""
        return data


DAEMON = """
import os, sys
from mini_docker.graph.unpackers import Unpackers
from mini_docker.graph.unpacking import UnpackOrder

unpackers = Unpackers()
root = int(sys.argv[1])
with unpackers.at_work():
    print("at work", flush=True)
    unpackers.unpack(UnpackOrder(), sys.stdin.buffer, root)
"""


def test_they_die_with_the_daemon(tmp_path: Path) -> None:
    """kill -9 of the daemon: the lock on a half-made layer is free as soon as nobody can write there any more."""
    root = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(root, fcntl.LOCK_SH)
    reader, writer = os.pipe()
    daemon = subprocess.Popen(
        [sys.executable, "-c", DAEMON, str(root)], pass_fds=[root], stdin=reader, stdout=subprocess.PIPE, cwd=ROOT
    )
    os.close(root)
    os.close(reader)
    assert daemon.stdout is not None and daemon.stdout.readline() == b"at work\n"
    os.write(writer, LAYERS[0][:600])  # the child waits for the rest, which never comes
    daemon.send_signal(signal.SIGKILL)
    daemon.wait()
    daemon.stdout.close()
    again = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(again, fcntl.LOCK_EX)  # waits for the last of them
    os.close(again)
    os.close(writer)

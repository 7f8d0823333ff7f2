"""The log writer: lines into entries, nothing lost on a full disk, files that rotate."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mini_docker.remote_api import STDERR, STDOUT
from mini_docker.supervisor.json_log import MAX_LINE_BYTES, JsonLogReader
from mini_docker.supervisor.log_writer import LogWriter

pieces = st.lists(st.tuples(st.sampled_from([STDOUT, STDERR]), st.binary(max_size=60)), max_size=30)


def logged(path: Path) -> dict[int, bytes]:
    reader = JsonLogReader(path)
    streams = {STDOUT: b"", STDERR: b""}
    for entry in reader.read():
        streams[entry.stream] += entry.line
    reader.close()
    return streams


@given(pieces)
def test_what_was_written_can_be_read(
    tmp_path_factory: pytest.TempPathFactory, written: list[tuple[int, bytes]]
) -> None:
    """However output was cut into reads, each stream's text is in the log whole and in order."""
    path = tmp_path_factory.mktemp("log") / "log"
    writer = LogWriter(path)
    for stream, data in written:
        assert writer.write(stream, data)
    assert writer.finish()
    writer.close()
    for stream, text in logged(path).items():
        whole = b"".join(data for number, data in written if number == stream)
        lines = whole.split(b"\n")
        assert text == b"\n".join(line.decode(errors="replace").encode() for line in lines)


def test_a_line_is_an_entry_even_when_it_comes_in_pieces(tmp_path: Path) -> None:
    """A prompt without newline waits; a carriage return ends nothing."""
    writer = LogWriter(tmp_path / "log")
    for piece in (b"one", b" line\rover", b"written\ntwo\n", b"three"):
        writer.write(STDOUT, piece)
    writer.finish()
    writer.close()
    entries = list(JsonLogReader(tmp_path / "log").read())
    assert [entry.line for entry in entries] == [b"one line\roverwritten\n", b"two\n", b"three"]


def test_an_endless_line_is_cut(tmp_path: Path) -> None:
    """Memory is bounded whatever a container writes."""
    writer = LogWriter(tmp_path / "log")
    writer.write(STDOUT, b"x" * (3 * MAX_LINE_BYTES + 5))
    writer.finish()
    writer.close()
    assert [len(entry.line) for entry in JsonLogReader(tmp_path / "log").read()] == [MAX_LINE_BYTES] * 3 + [5]


def test_a_full_disk_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """write says no, keeps the rest, and retry brings it to the disk once there is room."""
    writer = LogWriter(tmp_path / "log")
    room = [7]

    def tight(descriptor: int, data: bytes) -> int:
        if not room[0]:
            raise OSError(28, "No space left on device")
        count = real(descriptor, data[: room[0]])
        room[0] -= count
        return count

    real = os.write
    monkeypatch.setattr(os, "write", tight)
    assert not writer.write(STDOUT, b"hello\n")
    assert not writer.retry()
    room[0] = 1000
    assert writer.retry()
    writer.close()
    assert logged(tmp_path / "log")[STDOUT] == b"hello\n"


@pytest.mark.parametrize("files", [1, 2, 3])
def test_rotation_keeps_so_many_files(tmp_path: Path, files: int) -> None:
    """The newest lines are kept, the oldest file falls off."""
    writer = LogWriter(tmp_path / "log", limit_bytes=300, files=files)
    for number in range(40):
        writer.write(STDOUT, f"line {number}\n".encode())
    writer.close()
    kept = sorted(tmp_path.iterdir())
    assert len(kept) == files
    assert all(path.stat().st_size < 500 for path in kept)
    if files > 1:
        assert b"line 39" in (tmp_path / "log").read_bytes() + (tmp_path / "log.1").read_bytes()

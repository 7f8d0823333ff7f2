"""The json log's reader: tails, torn lines, growth and rotation."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from mini_docker.remote_api import STDERR, STDOUT
from mini_docker.supervisor.json_log import Entry, JsonLogReader, decode_entry, encode_entries, log_time

LINES = st.lists(st.tuples(st.sampled_from([STDOUT, STDERR]), st.text(max_size=8)), max_size=12)


def entries_of(lines: list[tuple[int, str]]) -> list[Entry]:
    return [
        Entry(stream, text.encode(errors="replace"), log_time(index + 1)) for index, (stream, text) in enumerate(lines)
    ]


def encode(lines: list[tuple[int, str]]) -> list[bytes]:
    return [
        encode_entries(stream, [text.encode(errors="replace")], index + 1) for index, (stream, text) in enumerate(lines)
    ]


@settings(max_examples=60)
@given(st.sampled_from([STDOUT, STDERR]), st.binary(max_size=40), st.integers(0, 4 * 10**18))
def test_entry_round_trip(stream: int, line: bytes, nanoseconds: int) -> None:
    """An entry is one line of JSON in Docker's shape; what is UTF-8 is read back, the rest becomes U+FFFD."""
    text = encode_entries(stream, [line], nanoseconds)
    assert text.endswith(b"\n") and text.count(b"\n") == 1
    data = json.loads(text)
    assert list(data) == ["log", "stream", "time"] and data["time"].endswith("Z")
    assert decode_entry(text) == Entry(stream, line.decode(errors="replace").encode(), log_time(nanoseconds))


@settings(max_examples=60)
@given(LINES, st.integers(0, 14), st.integers(0, 6))
def test_tail_is_the_end_of_the_whole(lines: list[tuple[int, str]], tail: int, rotations: int) -> None:
    """``tail`` gives the last entries, wherever the log was cut into volumes, and never a part of one."""
    with tempfile.TemporaryDirectory() as folder:
        log, encoded = Path(folder) / "log", encode(lines)
        cuts = sorted({rotations * 2 % (len(lines) + 1), rotations % (len(lines) + 1)})
        volumes = [encoded[start:end] for start, end in zip([0, *cuts], [*cuts, len(lines)], strict=True)]
        for age, volume in enumerate(reversed(volumes)):
            (log if age == 0 else Path(f"{log}.{age}")).write_bytes(b"".join(volume))
        assert list(JsonLogReader(log).read()) == entries_of(lines)
        wanted = entries_of(lines)[len(lines) - tail if tail < len(lines) else 0 :]
        assert list(JsonLogReader(log, tail).read()) == wanted


@settings(max_examples=60)
@given(LINES, st.data())
def test_growth_cuts_and_rotation_lose_nothing(lines: list[tuple[int, str]], data: st.DataObject) -> None:
    """Read again and again while it grows by pieces of any size and is rotated: every entry once, in order."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        log.write_bytes(b"")
        reader, seen = JsonLogReader(log), []
        for line in encode(lines):
            cut = data.draw(st.integers(0, len(line)))
            for piece in (line[:cut], line[cut:]):
                with log.open("ab") as file:
                    file.write(piece)
                if data.draw(st.booleans()):
                    seen += list(reader.read())
            if data.draw(st.booleans()):
                if Path(f"{log}.1").exists():
                    os.rename(f"{log}.1", f"{log}.2")
                os.rename(log, f"{log}.1")
                log.write_bytes(b"")
                seen += list(reader.read())
        seen += list(reader.read())
        reader.close()
        assert seen == entries_of(lines)


@settings(max_examples=40)
@given(LINES, st.binary(min_size=1, max_size=10).filter(lambda junk: b"\n" not in junk))
def test_torn_lines_are_skipped(lines: list[tuple[int, str]], junk: bytes) -> None:
    """A line torn by a crash costs that line alone; an unfinished last one is not shown."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        log.write_bytes(b'{"log":"half' + b"\n" + b"".join(encode(lines)) + junk)
        assert list(JsonLogReader(log).read()) == entries_of(lines)


def test_no_log_yet() -> None:
    """A container that said nothing has no file; its log is empty, until it comes."""
    with tempfile.TemporaryDirectory() as folder:
        reader = JsonLogReader(Path(folder) / "log", tail=5)
        assert list(reader.read()) == []
        (Path(folder) / "log").write_bytes(encode_entries(STDOUT, [b"hi\n"], 1))
        assert [entry.line for entry in reader.read()] == [b"hi\n"]
        reader.close()

"""Durable files: all of it or nothing of it, whatever the kernel does with a single write."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mini_docker.durable import PAGE_BYTES, overwrite_page, publish, replace_file, write_file


def test_a_short_write_is_no_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """write(2) may take less than it was given; a file that was cut there would be read as damaged later."""
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:3]))
    write_file(tmp_path / "a", b"0123456789")
    replace_file(tmp_path / "b", b"0123456789", durable=False)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() == b"0123456789"


@pytest.mark.parametrize("durable", [True, False])
def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, durable: bool) -> None:
    """Half of the new one stands in a scratch file only, and the next try goes over it."""
    path = tmp_path / "book"
    replace_file(path, b"old")
    write, left = os.write, [2]

    def write_two_bytes(descriptor: int, data: bytes) -> int:
        if not left.pop():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        left.append(0)
        return write(descriptor, data[:2])

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr(os, "write", write_two_bytes)
        replace_file(path, b"newer", durable=durable)
    assert path.read_bytes() == b"old"
    replace_file(path, b"newer", durable=durable)
    assert path.read_bytes() == b"newer" and os.listdir(tmp_path) == ["book"]


def test_the_order_is_content_then_name_then_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that is durable before its content is would show an empty file after a power cut."""
    steps: list[str] = []
    fsync, rename = os.fsync, os.rename

    def noting_fsync(descriptor: int) -> None:
        steps.append(os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}")))
        fsync(descriptor)

    def noting_rename(source: Path, target: Path) -> None:
        steps.append("rename")
        rename(source, target)

    monkeypatch.setattr(os, "fsync", noting_fsync)
    monkeypatch.setattr(os, "rename", noting_rename)
    replace_file(tmp_path / "book", b"x")
    assert steps == [".book.new", "rename", tmp_path.name]
    steps.clear()
    replace_file(tmp_path / "book", b"y", durable=False)
    assert steps == ["rename"], "run state does not wait for the disk"


@given(st.binary(max_size=50))
def test_what_was_written_is_read(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    """Of any length, none included; longer old content does not shine through."""
    folder = tmp_path_factory.mktemp("files")
    write_file(folder / "scratch", b"longer than all" * 5)
    write_file(folder / "scratch", data)
    publish(folder / "scratch", folder / "target")
    assert (folder / "target").read_bytes() == data


@given(st.lists(st.binary(max_size=6000).filter(lambda data: not data.endswith(b" ")), min_size=1, max_size=4))
def test_a_page_is_overwritten_or_left_alone(texts: list[bytes]) -> None:
    """The file always holds one text, whole, with blanks after it; one that is too long changes nothing."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "state"
        held = b""
        for text in texts:
            fits = len(text) <= PAGE_BYTES
            assert overwrite_page(path, text) is fits
            held = text if fits else held
            assert (path.read_bytes().rstrip(b" ") if path.exists() else b"") == held
            assert not path.exists() or path.stat().st_size == PAGE_BYTES


def test_a_longer_file_is_not_overwritten(tmp_path: Path) -> None:
    """Its end would stay behind the new text."""
    path = tmp_path / "state"
    path.write_bytes(b"x" * (PAGE_BYTES + 1))
    assert not overwrite_page(path, b"short")
    assert path.read_bytes() == b"x" * (PAGE_BYTES + 1)


@pytest.mark.parametrize("old", [None, b"old".ljust(PAGE_BYTES)])
def test_a_page_on_a_full_disk_is_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: bytes | None) -> None:
    """Half of a new file is none; of a page that is there the kernel has all blocks."""
    path = tmp_path / "state"
    if old is not None:
        path.write_bytes(old)
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: 0 if old else write(descriptor, data[:100]))
    with pytest.raises(OSError, match="No space"):
        overwrite_page(path, b"new")
    assert path.read_bytes() == (old or b"")


def test_a_file_that_is_no_page_is_replaced_instead(tmp_path: Path) -> None:
    """Its blocks may end before a page does."""
    path = tmp_path / "state"
    path.write_bytes(b"short")
    assert not overwrite_page(path, b"new")
    assert path.read_bytes() == b"short"

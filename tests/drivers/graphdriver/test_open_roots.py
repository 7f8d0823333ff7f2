"""Open roots and the background: who closes a mount, when, and who waits for whom. With pipes for mounts."""

from __future__ import annotations

import os
import threading

import pytest

from mini_docker.drivers.graphdriver.background import Background
from mini_docker.drivers.graphdriver.contract import MountedRoot
from mini_docker.drivers.graphdriver.open_roots import OpenRoots
from mini_docker.errors import Conflict


class HeldBackground(Background):
    """A night shift that begins only when it is told to."""

    def __init__(self) -> None:
        super().__init__("test")
        self.may_work = threading.Event()
        self.put(self.may_work.wait)


def mount() -> MountedRoot:
    """A descriptor to close."""
    reader, writer = os.pipe()
    os.close(writer)
    return MountedRoot(descriptor=reader)


def is_open(root: MountedRoot) -> bool:
    try:
        os.fstat(root.descriptor)
    except OSError:
        return False
    return True


def test_a_mount_that_waits_for_its_closing_is_taken_back() -> None:
    """Opened again before the background got to it, the layer keeps its mount: a second one would be undefined."""
    background = HeldBackground()
    roots = OpenRoots(background)
    first = roots.open("layer", mount)
    roots.close("layer")
    assert roots.open("layer", mount) is first
    background.may_work.set()
    background.drain()
    assert is_open(first)
    roots.close("layer")
    background.drain()
    assert not is_open(first)


def test_what_nobody_uses_is_taken_down_for_who_needs_what_is_below() -> None:
    """settle does not wait for the background's turn, and leaves alone what is in use."""
    background = HeldBackground()
    roots = OpenRoots(background)
    unused, used = roots.open("unused", mount), roots.open("used", mount)
    roots.close("unused")
    roots.settle(["unused", "used", "unknown"])
    assert not is_open(unused) and is_open(used)
    background.may_work.set()
    background.drain()
    roots.close("used")
    background.drain()


def test_only_an_open_root_is_shared() -> None:
    """Who shares must close: counted as any other open."""
    background = Background("test")
    roots = OpenRoots(background)
    assert roots.share("layer") is None
    root = roots.open("layer", mount)
    assert roots.share("layer") is root
    roots.close("layer")
    with pytest.raises(Conflict, match="is open"), roots.kept_closed("layer"):
        pass
    roots.close("layer")
    background.drain()
    assert not is_open(root)


def test_a_failing_task_does_not_end_the_background(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged, and the next one is done: what it left is collected at the next start."""
    background = Background("night shift")
    done: list[int] = []
    background.put(lambda: done.append(1 // 0))
    background.put(lambda: done.append(2))
    background.drain()
    assert done == [2]
    assert "night shift: a task failed" in caplog.text


def test_tasks_are_done_in_order() -> None:
    """A mount is closed before its files are deleted, because it was put first."""
    background = Background("test")
    done: list[int] = []
    for number in range(200):
        background.put(lambda number=number: done.append(number))
    background.drain()
    assert done == list(range(200))

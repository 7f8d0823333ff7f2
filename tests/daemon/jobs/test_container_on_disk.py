"""What of a container is on the disk, and when: acknowledged is crash-proof, running is proof against power cuts."""

from __future__ import annotations

import errno
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mini_docker.daemon.container.store import ContainerStore
from mini_docker.errors import Invalid, MiniDockerError
from tests.daemon.fakes import FakeHouse


@pytest.fixture
def house(tmp_path: Path) -> FakeHouse:
    house = FakeHouse(tmp_path)
    house.image()
    return house


class SlowDisk:
    """A disk whose fsync waits until it is let go on."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.done = threading.Event()

    def fsync(self, descriptor: int) -> None:
        self.asked.set()
        assert self.done.wait(10)


def test_create_does_not_wait_for_the_disk_but_the_first_start_does(
    house: FakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = SlowDisk()
    monkeypatch.setattr(os, "fsync", disk.fsync)
    container = house.create("sleep")
    assert disk.asked.wait(10)
    with ThreadPoolExecutor(1) as pool:
        start = pool.submit(house.run, "start", container)
        while container not in house.exec_driver.sandboxes:
            assert not start.done()
        assert not house.containers.get(container).state.running
        disk.done.set()
        start.result(10)
    assert house.containers.get(container).state.running


def test_what_the_disk_does_not_take_is_not_started(house: FakeHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error that nobody waited for at ``create`` is the start's, and nothing is held by it."""

    def broken(descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", broken)
    container = house.create("sleep")
    with pytest.raises(MiniDockerError, match=r"did not reach the disk \(input/output error\): remove it and create"):
        house.run("start", container)
    assert not house.containers.get(container).state.running
    assert house.network_driver.held() == 0 and not any(house.graph_driver.opened.values())


def test_what_never_ran_before_a_crash_is_waited_for_by_the_next_daemon(
    house: FakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed behind the answer of ``create``, nobody had asked the disk yet."""
    monkeypatch.setattr(house.containers, "make_durable", lambda container: None)
    container, ran = house.create("sleep"), house.start("sleep")
    following = FakeHouse(house.root)
    disk = SlowDisk()
    monkeypatch.setattr(os, "fsync", disk.fsync)
    following.containers.make_durable(following.containers.get(ran))
    assert not disk.asked.is_set()
    following.containers.make_durable(following.containers.get(container))
    assert disk.asked.wait(10)
    disk.done.set()
    following.containers.await_durable(following.containers.get(container))


def test_layers_are_prepared_behind_a_start_and_a_removal(house: FakeHouse) -> None:
    container = house.create("sleep")
    assert house.graph_driver.prepared == 0
    house.run("start", container)
    assert house.graph_driver.prepared == 1
    house.run("delete", container, force="1")
    assert house.graph_driver.prepared == 2


def test_removed_on_the_way_to_the_disk(house: FakeHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """It neither fails nor holds up the next one."""
    disk = SlowDisk()
    monkeypatch.setattr(os, "fsync", disk.fsync)
    first = house.create("sleep")
    assert disk.asked.wait(10)
    second = house.create("sleep")
    house.run("delete", first)
    house.run("delete", second)
    disk.done.set()
    third = house.start("sleep")
    assert house.containers.get(third).state.running


@pytest.mark.parametrize("lost", ["config.json", "hostconfig.json"])
@pytest.mark.parametrize("how", [lambda path: path.write_bytes(b""), os.unlink], ids=["empty", "gone"])
def test_power_cut_before_it_was_durable(house: FakeHouse, lost: str, how: object) -> None:
    """Such a container never ran: it is swept away, name and layers too, and its name is free."""
    lasting = house.create("sleep", name="lasting")
    container = house.create("sleep", name="web")
    house.containers.await_durable(house.containers.get(container))
    how(house.containers.folder(container) / lost)  # type: ignore[operator]
    following = FakeHouse(house.root)
    assert [one.id for one in following.containers.all()] == [lasting]
    assert following.layers.containers() == [lasting] and not following.containers.folder(container).exists()
    assert following.create("sleep", name="web")


def test_unreadable_config_of_one_that_ran_is_left_alone(house: FakeHouse) -> None:
    """It was durable once: whatever happened to it, it is not ours to throw away."""
    container = house.start("sleep")
    (house.containers.folder(container) / "config.json").write_bytes(b"")
    assert ContainerStore(house.containers.root).load("fake") == []
    assert house.containers.folder(container).exists()


def test_a_folder_that_cannot_be_made_for_a_bind_is_named(house: FakeHouse, tmp_path: Path) -> None:
    """In Docker's words; and nothing of the container is left."""
    (tmp_path / "file").touch()
    source = tmp_path / "file" / "below" / "it"
    words = f"error while creating mount source path '{source}': mkdir {tmp_path}/file/below: not a directory"
    with pytest.raises(Invalid, match=words):
        house.create("true", name="web", host={"Binds": [f"{source}:/x"]})
    assert house.containers.all() == [] and house.layers.containers() == []
    assert house.create("true", name="web")

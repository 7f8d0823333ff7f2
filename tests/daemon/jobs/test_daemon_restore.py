"""A daemon that was killed, and the next one on the same folder: what runs on, what ended, what was half-done."""

from __future__ import annotations

import errno
import time
from pathlib import Path

import pytest

from mini_docker.daemon.container.store import ContainerStore
from mini_docker.daemon.restoration import Restoration
from mini_docker.dataclasses import replace
from mini_docker.drivers.execdriver.contract import Exited, Found
from mini_docker.errors import Conflict, Unavailable
from tests.daemon.fakes import FakeExecDriver, FakeHouse


class Survivor(FakeExecDriver):
    """The exec driver of the next daemon: containers of the old one go on in it."""

    def __init__(self, old: FakeExecDriver, found: list[Found]) -> None:
        super().__init__()
        self.sandboxes = old.sandboxes
        for sandbox in self.sandboxes.values():
            sandbox.init.driver = self
        self.found = found
        old.close()


def found(container: str, *, exited: int | None = None, started: bool = True, paused: bool = False) -> Found:
    end = None if exited is None else Exited(container, "", exited, False, time.time())
    return Found(container, 0 if end else 4242, started, paused, end, -1, {})


def until(house: FakeHouse, container: str, status: str) -> None:
    house.daemon._exits.submit(lambda: None).result(5)
    deadline = time.monotonic() + 5
    while house.containers.get(container).state.status != status:
        assert time.monotonic() < deadline, house.containers.get(container).state
        house.daemon._exits.submit(time.sleep, 0.005).result(5)
    house.swept(container)


@pytest.fixture
def first(tmp_path: Path) -> FakeHouse:
    """The first daemon; it is never shut down: it was killed."""
    house = FakeHouse(tmp_path)
    house.image()
    return house


def test_running_container_is_found_again(first: FakeHouse) -> None:
    """It runs on, keeps its address and ports, and can be stopped by the next daemon."""
    container = first.start("sleep", name="web", host={"PortBindings": {"80/tcp": [{"HostPort": "80"}]}})
    before = first.run("container_inspect", container)["NetworkSettings"]
    second = FakeHouse(first.root, Survivor(first.exec_driver, [found(container, paused=True)]))
    form = second.run("container_inspect", "web")
    assert form["State"]["Paused"] and form["State"]["Pid"] == 4242
    assert form["NetworkSettings"]["IPAddress"] == before["IPAddress"]
    assert form["NetworkSettings"]["Ports"] == before["Ports"]
    (endpoint,) = second.network_driver.restored
    assert endpoint.published[0].host_port == 80 and endpoint.joined is not None
    second.run("unpause", "web")
    second.run("stop", "web")
    second.swept("web")
    assert second.network_driver.held() == 0 and not any(second.graph_driver.opened.values())
    second.daemon.shutdown()


def test_end_that_nobody_saw_is_recorded(first: FakeHouse) -> None:
    """A container that ended in between has its exit code, and nothing is held for it; waiters hear of it."""
    container = first.start("sleep")
    second = FakeHouse(first.root, Survivor(first.exec_driver, [found(container, exited=9)]))
    until(second, container, "exited")
    assert second.wait(container) == 9
    assert second.network_driver.held() == 0 and not any(second.graph_driver.opened.values())
    second.daemon.shutdown()


def test_end_that_was_seen_to_is_not_seen_twice(first: FakeHouse) -> None:
    """The daemon died after it stored an end and before the exec driver forgot it: no second die, no wrong restart."""
    container = first.start("exit", "9", host={"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 1}})
    first.wait(container)
    seen = first.containers.get(container).state
    end = Exited(container, "", 9, False, seen.finished / 1e9)
    end = replace(end, finished=next(t for t in (end.finished, end.finished + 2e-7) if int(t * 10**9) == seen.finished))
    survivor = Survivor(first.exec_driver, [replace(found(container), pid=0, exited=end)])
    second = FakeHouse(first.root, survivor)
    second.daemon._exits.submit(lambda: None).result(5)
    assert "die" not in second.actions(container)[:1]
    second.daemon.shutdown()  # its policy starts it anew meanwhile: count when that run has ended, too
    assert not any(second.graph_driver.opened.values())


def test_container_of_a_dead_supervisor_is_lost(first: FakeHouse) -> None:
    """Nothing holds it any more: it is exited with 255, its network and files are free."""
    container = first.start("sleep")
    second = FakeHouse(first.root)
    until(second, container, "exited")
    assert second.containers.get(container).state.exit_code == 255
    assert second.network_driver.held() == 0
    second.run("start", container)
    second.daemon.shutdown()


def test_half_made_start_is_taken_back(first: FakeHouse) -> None:
    """The daemon died with an init parked: the sandbox is ended, the container is as before its start."""
    container = first.create("sleep")
    stray = first.create("sleep")
    survivor = Survivor(first.exec_driver, [found(container, started=False), found("f" * 64)])
    second = FakeHouse(first.root, survivor)
    assert second.containers.get(container).state.status == "created"
    assert second.containers.get(stray).state.status == "created" and not survivor.sandboxes
    second.daemon.shutdown()


@pytest.mark.parametrize(
    ("policy", "stopped", "runs"),
    [("always", True, True), ("unless-stopped", True, False), ("unless-stopped", False, True), ("no", False, False)],
)
def test_policies_at_daemon_start(first: FakeHouse, policy: str, stopped: bool, runs: bool) -> None:
    """always comes back even after a stop by the user; unless-stopped does not."""
    container = first.start("sleep", host={"RestartPolicy": {"Name": policy}})
    if stopped:
        first.run("stop", container)
    else:
        first.daemon.shutdown()
        first.graph.recover()
    second = FakeHouse(first.root)
    if runs:
        until(second, container, "running")
    else:
        second.daemon._exits.submit(lambda: None).result(5)
        assert second.containers.get(container).state.status == "exited"
    second.daemon.shutdown()


def test_shutdown_stops_all_at_once(first: FakeHouse) -> None:
    """SIGTERM stops the containers side by side, each in its own time; nothing can be started meanwhile."""
    containers = [first.start("stubborn", StopTimeout=1) for _ in range(4)]
    began = time.monotonic()
    first.daemon.shutdown()
    assert time.monotonic() - began < 3
    states = [first.containers.get(container).state for container in containers]
    assert [state.exit_code for state in states] == [137] * 4 and not first.exec_driver.sandboxes
    with pytest.raises(Unavailable):
        first.run("start", containers[0])


def test_shutdown_timeout_bounds_the_wait(tmp_path: Path) -> None:
    """--shutdown-timeout is what a container without a word of its own has to end in."""
    house = FakeHouse(tmp_path, shutdown_timeout=0)
    house.image()
    container = house.start("stubborn")
    began = time.monotonic()
    house.daemon.shutdown()
    assert time.monotonic() - began < 3 and house.containers.get(container).state.exit_code == 137


def test_live_restore_leaves_containers_alone(tmp_path: Path) -> None:
    """With live-restore an orderly end of the daemon does not touch them either."""
    house = FakeHouse(tmp_path, live_restore=True)
    house.image()
    container = house.start("sleep")
    house.daemon.shutdown()
    assert not house.exec_driver.sandboxes[container].init.ended.is_set()


def test_crash_between_the_books(first: FakeHouse) -> None:
    """A rename or a creation cut short: the names' book is right, layers and folders without a container go."""
    container = first.create(name="old")
    first.names.rename("/old", "/new")
    first.layers.create("e" * 64, None)
    (first.root / "containers" / f".tmp-{'d' * 64}").mkdir()
    second = FakeHouse(first.root)
    assert second.containers.get("new").id == container and second.containers.find("old") is None
    assert second.layers.containers() == [container]
    assert [folder.name for folder in (first.root / "containers").iterdir()] == [container]
    second.daemon.shutdown()


def test_containers_of_another_graph_driver_are_left_alone(first: FakeHouse) -> None:
    """Opened with another driver, a root folder loses nothing: the first one's containers and names are there again."""
    container = first.create(name="kept")
    config = first.root / "containers" / container / "config.json"
    ours = config.read_text()
    config.write_text(
        ours.replace('"Driver": "fake"', '"Driver": "another"').replace('"Driver":"fake"', '"Driver":"another"')
    )
    assert config.read_text() != ours
    second = FakeHouse(first.root)
    assert second.containers.all() == [] and second.containers.left_aside == {container}
    with pytest.raises(Conflict):
        second.image()
        second.create(name="kept")
    second.daemon.shutdown()
    second.layers.create(container, None)  # the two share their fake driver's folder, as real ones would not
    config.write_text(ours)
    third = FakeHouse(first.root)
    assert third.containers.get("kept").id == container
    third.daemon.shutdown()


def test_half_made_removal_is_finished(first: FakeHouse) -> None:
    """The daemon died between a container's layers and its folder: the next one removes the rest."""
    container = first.create(name="gone")
    first.layers.remove(container)
    second = FakeHouse(first.root)
    deadline = time.monotonic() + 5
    while second.containers.all():
        assert time.monotonic() < deadline
        second.daemon._exits.submit(time.sleep, 0.005).result(5)
    assert not second.names.exists("/gone")
    second.daemon.shutdown()


def test_lost_while_the_daemon_lives(first: FakeHouse) -> None:
    """The supervisor dies under a living daemon: its containers are reported ended and released."""
    container = first.start("sleep")
    first.exec_driver.sandboxes.pop(container)
    for listener in first.exec_driver._lost:
        listener([container])
    assert first.wait(container) == 255 and first.network_driver.held() == 0
    assert not any(first.graph_driver.opened.values())
    first.daemon.shutdown()


def test_cgroups_of_a_start_that_nobody_heard_of_go(first: FakeHouse) -> None:
    """The last daemon died between making them and telling the exec driver of the container."""
    container = first.create("sleep")
    driver = Survivor(first.exec_driver, [])
    second = FakeHouse(first.root, driver)
    assert driver.cleared == [f"mini-docker/{container}"]
    second.daemon.shutdown()


def test_a_container_that_cannot_be_cleared_is_no_obstacle(first: FakeHouse) -> None:
    """One whose cgroup parent is no path was created all the same, and the next daemon comes up with it."""
    container = first.create("sleep", host={"CgroupParent": "../.."})
    driver = Survivor(first.exec_driver, [])
    driver.fail_at = "clear"
    second = FakeHouse(first.root, driver)
    assert second.containers.get(container).state.status == "created"
    second.daemon.shutdown()


def test_a_full_disk_does_not_end_what_runs(first: FakeHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the next daemon found out is not stored, and it is a daemon all the same."""
    container = first.start("sleep")

    def full(*_args: object, **_options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(ContainerStore, "save", full)
    second = FakeHouse(first.root, Survivor(first.exec_driver, [found(container)]))
    monkeypatch.undo()
    assert second.containers.get(container).state.running
    second.daemon.shutdown()


def test_who_could_not_restore_stops_nobody(first: FakeHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon that does not come up leaves the containers as they are, for the next one."""
    container = first.start("sleep")

    def broken(*_args: object) -> None:
        raise Unavailable("the books are gone")

    monkeypatch.setattr(Restoration, "restore", broken)
    driver = Survivor(first.exec_driver, [found(container)])
    second = FakeHouse.__new__(FakeHouse)
    with pytest.raises(Unavailable):
        second.__init__(first.root, driver)  # type: ignore[misc]
    second.daemon.shutdown()
    assert not driver.sandboxes[container].init.ended.is_set()

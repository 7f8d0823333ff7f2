"""A container's whole life through the jobs: create, start, wait, stop, kill, restart, pause, rename, delete."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from mini_docker.errors import CannotExecute, Conflict, Invalid, MiniDockerError, NotFound, NotModified, Unsupported
from tests.daemon.fakes import FakeHouse


def test_life_from_create_to_delete(house: FakeHouse) -> None:
    """A container runs to its end, its exit code is kept, and nothing is held for it afterwards."""
    container = house.create("exit", "7", name="web")
    house.run("start", "web")
    assert house.wait("web") == 7
    form = house.run("container_inspect", "web")
    assert form["State"]["Status"] == "exited" and form["State"]["ExitCode"] == 7
    assert house.network_driver.held() == 0 and not house.exec_driver.sandboxes
    assert not any(house.graph_driver.opened.values())
    house.run("delete", "web")
    assert house.actions(container) == ["create", "start", "die", "destroy"]
    with pytest.raises(NotFound, match="No such container: web"):
        house.run("container_inspect", "web")
    assert house.containers.all() == [] and house.layers.containers() == []
    assert not house.names.exists("/web")


def test_start_is_a_tree_of_jobs(house: FakeHouse) -> None:
    """All work is jobs: a start asks the classic jobs for an address and for ports, and logs its event."""
    house.start("sleep", host={"PortBindings": {"80/tcp": [{"HostPort": "8080"}]}})
    records = house.engine.trace.records()
    start = next(record for record in records if record.name == "start")
    children = [record.name for record in records if record.parent == start.id]
    assert children == ["allocate_interface", "allocate_port", "log"]


@pytest.mark.parametrize("step", ["lease", "create", "join", "publish", "start"])
def test_failed_start_leaves_nothing(house: FakeHouse, step: str) -> None:
    """Each step is undone in reverse when a later one fails: no address, port, sandbox or open layer stays."""
    container = house.create("sleep", host={"PortBindings": {"80/tcp": [{"HostPort": "8080"}]}})
    house.network_driver.fail_at = house.exec_driver.fail_at = step
    with pytest.raises(MiniDockerError, match="as told"):
        house.run("start", container)
    assert house.network_driver.held() == 0 and not house.exec_driver.sandboxes
    assert not any(house.graph_driver.opened.values())
    state = house.run("container_inspect", container)["State"]
    assert (state["Status"], state["ExitCode"], state["Pid"]) == ("created", 128, 0)
    assert "as told" in state["Error"]
    house.network_driver.fail_at = house.exec_driver.fail_at = ""
    house.run("start", container)  # and it can be started after all


@pytest.mark.parametrize(("command", "code"), [("nosuch", 127), ("denied", 126)])
def test_bad_command(house: FakeHouse, command: str, code: int) -> None:
    """A command that cannot be executed is the user's error, and the state has a shell's exit code for it."""
    container = house.create(command)
    with pytest.raises(CannotExecute):
        house.run("start", container)
    assert house.run("container_inspect", container)["State"]["ExitCode"] == code
    assert house.network_driver.held() == 0


def test_bad_command_with_rm(house: FakeHouse) -> None:
    """``run --rm`` of a bad command: who waits for the removal hears 127, and the container is gone."""
    container = house.create("nosuch", host={"AutoRemove": True})
    answers: list[int] = []
    waiting = threading.Thread(target=lambda: answers.append(house.wait(container, "removed")))
    waiting.start()
    _until(lambda: bool(house.containers.get(container)._waiters))
    with pytest.raises(CannotExecute):
        house.run("start", container)
    waiting.join(5)
    assert answers == [127] and house.containers.find(container) is None


def test_auto_remove(house: FakeHouse) -> None:
    """``--rm`` removes the container at its end, with its anonymous volumes; who waits for that gets the exit code."""
    container = house.create("exit", "3", host={"AutoRemove": True}, Volumes={"/data": {}})
    assert len(house.volumes.all()) == 1
    job = house.job("wait", container, condition="removed")
    head = threading.Event()
    job.stdout.add(_FlushBell(head))
    output = job.stdout.add_buffer()
    waiting = threading.Thread(target=job.run)
    waiting.start()
    assert head.wait(5), "wait must send its head before the container starts: clients start it only then"
    house.run("start", container)
    waiting.join(5)
    assert json.loads(output.getvalue()) == {"Error": None, "StatusCode": 3}
    assert house.containers.all() == [] and house.volumes.all() == []


def test_wait_is_cancelled(house: FakeHouse) -> None:
    """A client that hangs up leaves no thread waiting."""
    container = house.start("sleep")
    job = house.job("wait", container)
    failures: list[str] = []

    def run() -> None:
        try:
            job.run()
        except MiniDockerError as error:
            failures.append(type(error).__name__)

    waiting = threading.Thread(target=run)
    waiting.start()
    job.cancel()
    waiting.join(5)
    assert failures == ["Cancelled"] and not house.containers.get(container)._waiters


def test_stop_asks_then_kills(house: FakeHouse) -> None:
    """stop sends the stop signal, and SIGKILL when the time is over; a stopped one is "not modified"."""
    polite, stubborn = house.start("sleep"), house.start("stubborn")
    house.run("stop", polite, t="5")
    house.run("stop", stubborn, t="0")
    assert house.run("container_inspect", polite)["State"]["ExitCode"] == 143
    assert house.run("container_inspect", stubborn)["State"]["ExitCode"] == 137
    with pytest.raises(NotModified):
        house.run("stop", polite)


def test_stop_signal_of_the_image(house: FakeHouse) -> None:
    """STOPSIGNAL in the image is what stop sends."""
    house.image("other", Cmd=["sleep"], StopSignal="SIGINT")
    container = house.start(Image="other")
    house.run("stop", container)
    assert house.run("container_inspect", container)["State"]["ExitCode"] == 130


def test_kill(house: FakeHouse) -> None:
    """kill sends any signal by name or number; what does not run cannot be killed: 409."""
    container = house.start("sleep")
    house.run("kill", container, signal="SIGUSR1")
    assert house.wait(container) == 138
    with pytest.raises(Conflict, match="is not running"):
        house.run("kill", container)
    with pytest.raises(Invalid, match="Invalid signal"):
        house.run("kill", container, signal="NOSUCH")


def test_delete_refuses_the_running_unless_forced(house: FakeHouse) -> None:
    """rm of a running container is a conflict; rm -f kills it first."""
    container = house.start("stubborn")
    with pytest.raises(Conflict, match="You cannot remove a running container"):
        house.run("delete", container)
    house.run("delete", container, force="1")
    assert house.containers.all() == [] and house.network_driver.held() == 0


def test_forced_delete_of_one_that_removes_itself(house: FakeHouse) -> None:
    """rm -f of a --rm container: whoever removes it, it is gone and nobody is told of an error."""
    container = house.start("stubborn", host={"AutoRemove": True})
    house.run("delete", container, force="1")
    assert house.containers.all() == []


def test_name_is_free_when_the_end_is_told(house: FakeHouse) -> None:
    """``stop`` and ``run --rm --name`` of the same name follow one another in many a script."""
    for _ in range(10):
        house.start("sleep", name="web", host={"AutoRemove": True})
        house.run("stop", "web")


def test_restart_keeps_an_auto_remove_container(house: FakeHouse) -> None:
    """restart stops and starts; the end in between does not remove a --rm container."""
    container = house.start("sleep", host={"AutoRemove": True})
    house.run("restart", container, t="5")
    assert house.run("container_inspect", container)["State"]["Running"]
    assert house.actions(container)[-2:] == ["start", "restart"]


def test_restart_is_not_outrun_by_the_sweeping(house: FakeHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a --rm container goes was decided at its end, however long the sweeping after it takes."""
    id = house.start("sleep", host={"AutoRemove": True})
    container = house.containers.get(id)
    delete = house.exec_driver.delete

    def slow_delete(id: str) -> None:
        while container.spared:
            pass
        delete(id)

    monkeypatch.setattr(house.exec_driver, "delete", slow_delete)
    house.run("restart", id)
    assert house.containers.get(id).state.running


def test_restart_policy_on_failure(house: FakeHouse) -> None:
    """on-failure:2 starts a failing container twice more, then lets it rest."""
    container = house.create("exit", "5", host={"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 2}})
    house.run("start", container)
    assert house.wait(container) == 5  # not-running: no restart is coming any more
    form = house.run("container_inspect", container)
    assert form["RestartCount"] == 2 and form["State"]["Status"] == "exited"
    assert house.actions(container).count("start") == 3


def test_stop_ends_a_pending_restart(house: FakeHouse) -> None:
    """A container between two runs is restarting; stop takes it out of that, and it stays down."""
    container = house.create("exit", "1", host={"RestartPolicy": {"Name": "always"}})
    house.containers.get(container).monitor = house.containers.get(container).monitor.__class__(0, 30.0)
    house.run("start", container)
    house.run("wait", container, condition="next-exit") if not house.containers.get(
        container
    ).state.restarting else None
    _until(lambda: house.containers.get(container).state.restarting)
    house.run("stop", container)
    assert house.run("container_inspect", container)["State"]["Status"] == "exited"
    assert house.containers.get(container).restart_timer is None


def test_pause_and_unpause(house: FakeHouse) -> None:
    """A paused container is frozen, says so, and refuses what needs its processes."""
    container = house.start("sleep")
    house.run("pause", container)
    assert house.exec_driver.sandboxes[container].paused
    assert house.run("container_inspect", container)["State"]["Status"] == "paused"
    with pytest.raises(Conflict, match="already paused"):
        house.run("pause", container)
    with pytest.raises(Conflict, match="unpause the container before exec"):
        house.run("exec_create", container, body={"Cmd": ["true"]})
    house.run("unpause", container)
    house.run("stop", container)


def test_names(house: FakeHouse) -> None:
    """A name means one container; rename frees the old one; a bad one is refused."""
    first = house.create(name="web")
    with pytest.raises(Conflict, match='The container name "/web" is already in use'):
        house.create(name="web")
    house.run("container_rename", "web", name="db")
    assert house.containers.get("db").id == first and house.containers.find("web") is None
    house.create(name="web")
    with pytest.raises(Conflict, match="already in use"):
        house.run("container_rename", "db", name="web")
    with pytest.raises(Invalid, match="Invalid container name"):
        house.create(name="no spaces")


def test_failed_create_leaves_nothing(house: FakeHouse) -> None:
    """An unknown image or a bad order leaves no name, layer, volume or folder behind."""
    with pytest.raises(NotFound, match="No such image: nosuch:latest"):
        house.create(name="web", Image="nosuch")
    with pytest.raises(Invalid, match="no log driver"):
        house.create(name="web", host={"LogConfig": {"Type": "syslog"}})
    house.graph_driver.create_read_write = _fail  # type: ignore[method-assign]
    with pytest.raises(MiniDockerError, match="as told"):
        house.create(name="web", Volumes={"/data": {}})
    assert house.containers.all() == [] and house.volumes.all() == [] and not house.names.exists("/web")
    assert not list((house.root / "containers").glob("[!.]*"))


def test_commands_come_from_image_and_order(house: FakeHouse) -> None:
    """The spec that reaches the driver has the merged command, environment and mounts."""
    house.image("app", Entrypoint=["echo"], Cmd=["from", "image"], Env=["A=1"], WorkingDir="/srv", User="nobody")
    container = house.create("hello", Image="app", Env=["B=2"], Tty=True, Hostname="box")
    house.exec_driver.fail_at = "start"
    sandbox: list[object] = []
    create = house.exec_driver.create

    def note(name: str, spec: object, root: object, stdio: object, narrate: int) -> object:
        sandbox.append(spec)
        return create(name, spec, root, stdio)  # type: ignore[arg-type]

    house.exec_driver.create = note  # type: ignore[assignment,method-assign]
    with pytest.raises(MiniDockerError):
        house.run("start", container)
    process = sandbox[0].process  # type: ignore[attr-defined]
    assert process.args == ("echo", "hello") and process.cwd == "/srv" and process.user == "nobody"
    assert process.env[1:] == ("HOSTNAME=box", "TERM=xterm", "B=2", "A=1") and process.terminal


def _fail(*args: object) -> None:
    raise MiniDockerError("fails, as told")


class _FlushBell:
    """A Writer that tells when it is flushed."""

    def __init__(self, flushed: threading.Event) -> None:
        self._flushed = flushed

    def write(self, data: bytes) -> None:
        pass

    def flush(self) -> None:
        self._flushed.set()


def _until(condition: object) -> None:
    """Wait for *condition* by looking, a hundred times a second at most."""
    pause = threading.Event()
    for _ in range(500):
        if condition():  # type: ignore[operator]
            return
        pause.wait(0.01)
    raise AssertionError("it never came to pass")


@pytest.mark.parametrize(
    "order",
    [
        {"HostConfig": {"Links": ["a:b:c"]}},
        {
            "HostConfig": {"NetworkMode": "mine"},
            "NetworkingConfig": {"EndpointsConfig": {"mine": {"Links": ["a:b:c"]}}},
        },
    ],
)
def test_a_bad_link_is_refused_before_anything_is_made(house: FakeHouse, order: dict[str, Any]) -> None:
    """Of the default bridge or of a network of the user's: checked when the order is read."""
    with pytest.raises(Invalid, match="bad format for links: a:b:c"):
        house.run("create", body={"Image": "busybox", "Cmd": ["sleep"], **order})
    assert house.actions() == []


@pytest.mark.parametrize(
    ("host", "error", "message"),
    [
        ({"Isolation": "hyperv"}, Invalid, 'invalid isolation "hyperv" on linux'),
        ({"UsernsMode": "remapped"}, Invalid, "invalid user namespace mode: 'remapped'"),
        (
            {"DeviceRequests": [{"Count": -1, "Capabilities": [["gpu"]]}]},
            Unsupported,
            r'could not select device driver "" with capabilities: \[\[gpu\]\]',
        ),
        ({"DeviceRequests": [7]}, Unsupported, "could not select device driver"),
        ({"VolumeDriver": "nfs"}, NotFound, 'plugin "nfs" not found'),
        (
            {"Mounts": [{"Type": "volume", "Target": "/d", "VolumeOptions": {"DriverConfig": {"Name": "nfs"}}}]},
            NotFound,
            'plugin "nfs" not found',
        ),
        (
            {
                "Mounts": [
                    {"Type": "volume", "Target": "/d", "VolumeOptions": {"DriverConfig": {"Options": {"o": "x"}}}}
                ]
            },
            Unsupported,
            'volume option "o"',
        ),
    ],
)
def test_a_wish_that_cannot_be_granted_is_refused(
    house: FakeHouse, host: dict[str, Any], error: type[MiniDockerError], message: str
) -> None:
    """Said when it is asked for, and nothing is made: a container without it would be another than was ordered."""
    with pytest.raises(error, match=message):
        house.create("sleep", host=host)
    assert house.actions() == [] and house.volumes.all() == []


def test_wishes_that_change_nothing_are_granted(house: FakeHouse) -> None:
    """What is so anyway may be asked for."""
    host = {"Isolation": "default", "UsernsMode": "host", "VolumeDriver": "local", "DeviceRequests": []}
    house.run("start", house.create("true", host=host))


def test_health_checks_are_warned_of(house: FakeHouse) -> None:
    """The container runs well without; but who waits for it to be healthy would wait for ever."""
    body = {"Image": "busybox", "Cmd": ["true"]}
    usual = house.run("create", body=body)["Warnings"]
    (warning,) = set(house.run("create", body=body | {"Healthcheck": {"Test": ["CMD", "true"]}})["Warnings"]) - {*usual}
    assert "Health checks are not run" in warning
    assert house.run("create", body=body | {"Healthcheck": {"Test": ["NONE"]}})["Warnings"] == usual


def test_limits_that_the_kernel_lacks_are_warned_of(house: FakeHouse) -> None:
    """When the container is ordered, in Docker's words; this house's kernel can limit nothing."""
    body = {"Image": "busybox", "Cmd": ["true"]}
    usual = house.run("create", body=body)["Warnings"]
    limited = body | {"HostConfig": {"Memory": 50 << 20, "PidsLimit": 9}}
    warnings = set(house.run("create", body=limited)["Warnings"]) - set(usual)
    assert any("memory limit" in warning for warning in warnings), warnings
    assert any("PIDs limit" in warning for warning in warnings), warnings


def test_only_a_shareable_ipc_namespace_is_joined(house: FakeHouse) -> None:
    """With its shared memory: that of others stays theirs. In Docker's words."""
    private = house.start("sleep")
    shareable = house.start("sleep", host={"IpcMode": "shareable"})
    joiner = house.start("sleep", host={"IpcMode": f"container:{shareable}"})
    shm = next(one for one in house.exec_driver.sandboxes[joiner].spec.mounts if one.destination == "/dev/shm")
    assert shm.source.endswith("/root/dev/shm")
    refused = house.create("sleep", host={"IpcMode": f"container:{private}"})
    with pytest.raises(Conflict, match="non-shareable IPC"):
        house.run("start", refused)


def test_who_shares_a_network_shares_the_name(house: FakeHouse) -> None:
    """Also at the end of a chain."""
    first = house.start("sleep", Hostname="first")
    second = house.start("sleep", host={"NetworkMode": f"container:{first}"})
    third = house.start("sleep", host={"NetworkMode": f"container:{second}"})
    assert house.exec_driver.sandboxes[third].spec.hostname == "first"


def test_a_container_without_network(house: FakeHouse) -> None:
    """``NetworkDisabled`` is ``--network none``: a namespace of its own with nothing in it."""
    container = house.start("sleep", NetworkDisabled=True)
    shown = house.run("container_inspect", container)
    assert list(shown["NetworkSettings"]["Networks"]) == ["none"]
    assert shown["HostConfig"]["NetworkMode"] == "none"


def test_volume_labels_of_a_mount(house: FakeHouse) -> None:
    """``--mount volume-label=`` marks the volume that is made for it."""
    mount = {"Type": "volume", "Source": "data", "Target": "/d/", "VolumeOptions": {"Labels": {"a": "1"}}}
    house.create("true", host={"Mounts": [mount]})
    assert house.run("volume_inspect", "data")["Labels"] == {"a": "1"}


def test_a_label_cannot_pose_as_the_status(house: FakeHouse) -> None:
    """A list's line is kept in two halves around its status; what a user writes never moves the cut."""
    labels = {"Status": "", "x": '"Status":"'}
    container = house.create("true", Labels=labels)
    for _ in range(2):
        (line,) = house.run("containers", all="1")
        assert (line["Id"], line["Labels"], line["Status"]) == (container, labels, "Created")


@pytest.mark.parametrize(
    "host",
    [{"DeviceCgroupRules": ["nonsense"]}, {"BlkioDeviceReadBps": [{"Path": "/dev/no-such-device", "Rate": 1}]}],
)
def test_a_limit_that_cannot_be_leaves_no_container(house: FakeHouse, host: dict[str, Any]) -> None:
    """Who is told that nothing was made finds nothing made."""
    with pytest.raises(Invalid):
        house.create("true", host=host)
    assert house.run("containers", all="1") == []


@pytest.mark.parametrize("pid_mode, sees_the_sweeping", [("", False), ("host", True)])
def test_who_waits_does_not_wait_for_the_sweeping(
    house: FakeHouse, monkeypatch: pytest.MonkeyPatch, pid_mode: str, sees_the_sweeping: bool
) -> None:
    """The next who wants to do something with it does; and what may outlive its init is gone before anyone is told."""
    container = house.create("sleep", host={"PidMode": pid_mode})
    sweeping, swept = threading.Event(), threading.Event()
    delete = house.exec_driver.delete

    def slow_delete(id: str) -> None:
        sweeping.set()
        assert swept.wait(10)
        delete(id)

    house.run("start", container)
    monkeypatch.setattr(house.exec_driver, "delete", slow_delete)
    with ThreadPoolExecutor(3) as pool:
        next_exit = pool.submit(house.run, "wait", container, condition="next-exit")
        while not house.containers.get(container)._waiters:
            assert not next_exit.done()
        house.exec_driver.signal(container, 9)
        assert sweeping.wait(10)
        removal = pool.submit(house.run, "delete", container)
        if not sees_the_sweeping:
            assert next_exit.result(10) == house.run("wait", container)
        assert not removal.done() and next_exit.done() != sees_the_sweeping
        swept.set()
        removal.result(10)
        assert next_exit.result(10)["StatusCode"] == 137

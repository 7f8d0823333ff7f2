"""Lists and forms: ps and its filters, inspect, volumes, update, info, version, events, df."""

from __future__ import annotations

import json
import os
import threading
import time
from typing import Any

import pytest

from mini_docker.daemon.container.volumes import VolumeStore
from mini_docker.daemon.jobs.info import limits_of, machine_warnings, registry_config
from mini_docker.errors import Conflict, Invalid, NotFound, Unavailable
from mini_docker.graph.image import ImageConfig
from mini_docker.libcontainer.cgroups.features import CgroupFeatures
from tests.daemon.fakes import FakeHouse
from tests.graph.layer_tars import stream, tar


def ps(house: FakeHouse, filters: dict[str, list[str]] | None = None, **env: str) -> list[str]:
    listed = house.run("containers", filters=json.dumps(filters or {}), **env)
    return [entry["Names"][0].removeprefix("/") for entry in listed]


def test_ps(house: FakeHouse) -> None:
    """The running ones, or all, newest first; limit counts stopped ones too; -1 is compose's "no limit"."""
    house.start("sleep", name="one")
    house.create("sleep", name="two")
    house.start("sleep", name="three")
    assert ps(house) == ["three", "one"]
    assert ps(house, all="1") == ps(house, all="1", limit="-1") == ["three", "two", "one"]
    assert ps(house, limit="2") == ["three", "two"]
    (first, *_) = house.run("containers", size="1")
    assert first["Status"].startswith("Up") and first["State"] == "running" and first["SizeRw"] == 0
    assert first["Image"] == "busybox" and first["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]


def test_ps_filters(house: FakeHouse) -> None:
    """--filter, key by key."""
    one = house.start("sleep", name="one", Labels={"a": "1"}, host={"PortBindings": {"80/tcp": [{"HostPort": "8080"}]}})
    two = house.start("exit", "3", name="two", Volumes={"/data": {}}, host={"NetworkMode": "none"})
    house.wait(two)
    for filters, names in (
        ({"name": ["^on"]}, ["one"]), ({"id": [one[:8]]}, ["one"]), ({"label": ["a=1"]}, ["one"]),
        ({"label": ["a=2"]}, []),
        ({"status": ["exited"]}, ["two"]), ({"exited": ["3"]}, ["two"]), ({"ancestor": ["busybox"]}, ["two", "one"]),
        ({"network": ["none"]}, ["two"]), ({"volume": ["/data"]}, ["two"]), ({"publish": ["80"]}, ["one"]),
        ({"health": ["none"]}, ["two", "one"]), ({"health": ["healthy"]}, []), ({"is-task": ["true"]}, []),
        ({"is-task": ["false"]}, ["two", "one"]),
        ({"before": ["two"]}, ["one"]), ({"since": ["one"]}, ["two"]),
    ):  # fmt: skip
        assert ps(house, filters, all="1") == names, filters  # type: ignore[arg-type]
    with pytest.raises(Invalid, match="invalid filter 'status=happy'"):
        ps(house, {"status": ["happy"]})
    with pytest.raises(Invalid, match="Unrecognised filter value for health: so-so"):
        ps(house, {"health": ["so-so"]})


def test_ps_line_is_cached_until_something_changes(house: FakeHouse) -> None:
    """The line is made anew when the container changed, whatever changed of it."""
    container = house.create("sleep", name="old")
    assert ps(house, all="1") == ["old"]
    house.run("container_rename", "old", name="new")
    assert ps(house, all="1") == ["new"]
    house.run("start", container)
    assert house.run("containers")[0]["State"] == "running"
    house.image("busybox", Cmd=["other"])
    assert house.run("containers")[0]["Image"].startswith("sha256:"), "the name means another image now"


def test_inspect_is_whole(house: FakeHouse) -> None:
    """The CLI crashes when Config, State, HostConfig or NetworkSettings are missing; published ports are shown."""
    house.image("web", Cmd=["sleep"], ExposedPorts={"80/tcp": {}, "443/tcp": {}})
    container = house.start(Image="web", host={"PortBindings": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}]}})
    form = house.run("container_inspect", container)
    for key in (
        "Id",
        "Created",
        "Path",
        "Args",
        "State",
        "Image",
        "Name",
        "Config",
        "HostConfig",
        "NetworkSettings",
        "Mounts",
    ):
        assert key in form
    settings = form["NetworkSettings"]
    assert settings["Ports"] == {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}], "443/tcp": None}
    assert settings["IPAddress"] == settings["Networks"]["bridge"]["IPAddress"] != ""
    assert form["Path"] == "sleep" and form["Config"]["Hostname"] == container[:12]


def test_links(house: FakeHouse) -> None:
    """A linked container is told of the other: variables, a line in /etc/hosts, a name in the book."""
    house.image("db", Cmd=["sleep"], ExposedPorts={"5432/tcp": {}}, Env=["SECRET=1"])
    house.start(name="db", Image="db")
    web = house.start("sleep", name="web", host={"Links": ["db:store"]})
    env = house.exec_driver.sandboxes[web].spec.process.env
    address = house.containers.get("db").attachments["bridge"].endpoint.lease.address.ip  # type: ignore[union-attr]
    assert f"STORE_PORT_5432_TCP_ADDR={address}" in env and "STORE_ENV_SECRET=1" in env
    assert f"{address}\tstore" in house.containers.get("web").hosts_path.read_text()
    assert house.names.exists("/web/store") and house.network_driver.links
    assert house.run("container_inspect", web)["HostConfig"]["Links"] == ["/db:/web/store"]
    house.run("stop", "web")
    assert not house.network_driver.links
    house.run("stop", "db")
    with pytest.raises(Conflict, match="Cannot link to a non running container"):
        house.run("start", "web")


def test_joined_network(house: FakeHouse) -> None:
    """--network container:ID has the other's namespace and files, and no endpoint of its own."""
    other = house.start("sleep", name="other")
    mine = house.start("sleep", host={"NetworkMode": "container:other"})
    spec = house.exec_driver.sandboxes[mine].spec
    assert [one.path for one in spec.namespaces if one.kind == "network"] == [f"/proc/{os.getpid()}/ns/net"]
    assert any(mount.source == str(house.containers.get(other).hosts_path) for mount in spec.mounts)
    assert house.containers.get(mine).attachments == {}
    house.run("stop", "other")
    house.run("stop", mine)
    with pytest.raises(Conflict, match="cannot join network of a non running container"):
        house.run("start", mine)
    for mode, word in (("PidMode", "PID"), ("IpcMode", "IPC")):
        with pytest.raises(Conflict, match=f"cannot join {word} of a non running container"):
            house.start("sleep", host={mode: "container:other"})


def test_users_network(house: FakeHouse) -> None:
    """On a network of the user's a container is found by its short id, and asks the embedded name server."""
    container = house.start("sleep", host={"NetworkMode": "mine"})
    network = house.run("container_inspect", container)["NetworkSettings"]["Networks"]["mine"]
    assert network["Aliases"] == [container[:12]] and network["NetworkID"] == "id-of-mine" and network["IPAddress"]
    resolv_conf = house.containers.get(container).resolv_conf_path.read_text()
    assert "nameserver 127.0.0.11" in resolv_conf and "ndots:0" in resolv_conf and house.dns.served == {container}
    said = house.start("sleep", host={"NetworkMode": "mine", "DnsOptions": ["ndots:3"]})
    assert "options ndots:3\n" in house.containers.get(said).resolv_conf_path.read_text(), "what was asked for stays"
    for each in (container, said):
        house.run("stop", each)
    assert not house.dns.served and house.network_driver.held() == 0
    with pytest.raises(NotFound, match="network nosuch not found"):
        house.start("sleep", host={"NetworkMode": "nosuch"})


def test_volumes(house: FakeHouse) -> None:
    """Named volumes outlive containers, anonymous ones go with -v, used ones are held, content is copied up once."""
    house.run("volume_create", body={"Name": "data", "Labels": {"a": "1"}})
    container = house.create("true", host={"Binds": ["data:/data"]}, Volumes={"/anon": {}})
    assert len(house.run("volumes")["Volumes"]) == 2
    assert [volume["Name"] for volume in house.run("volumes", filters='{"label":["a"]}')["Volumes"]] == ["data"]
    with pytest.raises(Conflict, match="volume is in use"):
        house.run("volume_delete", "data")
    mounts = {mount["Destination"]: mount for mount in house.run("container_inspect", container)["Mounts"]}
    assert mounts["/data"]["Name"] == "data" and mounts["/data"]["RW"] and mounts["/anon"]["Type"] == "volume"
    house.run("delete", container, v="1")
    assert [volume["Name"] for volume in house.run("volumes")["Volumes"]] == ["data"]
    assert house.run("volume_inspect", "data")["Mountpoint"].endswith("/volumes/data/_data")
    assert house.run("volume_prune")["VolumesDeleted"] == ["data"]
    with pytest.raises(NotFound, match="get data: no such volume"):
        house.run("volume_inspect", "data")
    house.run("volume_delete", "data", force="1")


def test_volumes_are_found_again(house: FakeHouse) -> None:
    """The next daemon knows the volumes with their labels; half-made and half-removed ones are gone."""
    house.run("volume_create", body={"Name": "data", "Labels": {"a": "1"}})
    (house.root / "volumes" / "half" / "_data").mkdir(parents=True)
    (house.root / "volumes" / ".trash-1" / "_data").mkdir(parents=True)
    again = VolumeStore(house.root / "volumes", house.kernel)
    assert again.all() == house.volumes.all() and not (house.root / "volumes" / ".trash-1").exists()
    again.remove("data")
    assert again.all() == [] and not (house.root / "volumes" / "data").exists()


def test_volume_is_filled_from_the_image_once(house: FakeHouse) -> None:
    """An empty volume gets what the image has at its place; a link out of the image leads nowhere."""
    container = house.create("true")
    root = house.layers.open(container).as_path()
    os.makedirs(f"{root}/data/sub")
    with open(f"{root}/data/sub/file", "w") as file:
        file.write("from the image")
    os.symlink("/etc", f"{root}/evil")
    volume = house.volumes.create("first")
    house.volumes.copy_up(volume, house.layers.open(container), "/data")
    assert (volume.mountpoint / "sub/file").read_text() == "from the image"
    (volume.mountpoint / "sub/file").write_text("changed")
    house.volumes.copy_up(volume, house.layers.open(container), "/data")
    assert (volume.mountpoint / "sub/file").read_text() == "changed"
    other = house.volumes.create("second")
    house.volumes.copy_up(other, house.layers.open(container), "/evil/..")
    assert "passwd" not in os.listdir(other.mountpoint)
    for _ in range(4):
        house.layers.close(container)


def test_update(house: FakeHouse) -> None:
    """Limits change while it runs, what is not said stays, and contradictions are refused."""
    container = house.start("sleep", host={"Memory": 64 << 20, "MemorySwap": 128 << 20})
    answer = house.run(
        "update", container, body={"Memory": 128 << 20, "MemorySwap": 256 << 20, "NanoCpus": 500_000_000}
    )
    assert answer == {"Warnings": None} and house.exec_driver.updated.memory_bytes == 128 << 20
    assert house.exec_driver.updated.cpu_quota_us == 50_000
    house.run("update", container, body={"RestartPolicy": {"Name": "always"}})
    host = house.run("container_inspect", container)["HostConfig"]
    assert host["Memory"] == 128 << 20 and host["RestartPolicy"]["Name"] == "always"
    with pytest.raises(Invalid, match="memoryswap"):
        house.run("update", container, body={"Memory": 512 << 20})
    assert json.loads((house.root / "containers" / container / "hostconfig.json").read_bytes())["Memory"] == 128 << 20


def test_events_live_and_past(house: FakeHouse) -> None:
    """Those since a time, then each as it happens; ``until`` ends the stream, a client that leaves does too."""
    container = house.start("sleep", name="web")
    since = house.events._ring[0].nanoseconds / 1e9 - 1
    filters = json.dumps({"container": ["web"], "event": ["start", "die"]})
    past = house.job("events", since=f"{since:.9f}", until=f"{time.time():.9f}", filters=filters).output()
    assert [json.loads(line)["Action"] for line in past.splitlines()] == ["start"]
    job = house.job("events", filters=filters)
    output, arrived = job.stdout.add_buffer(), threading.Event()
    job.stdout.add(_Arrival(arrived))
    listening = threading.Thread(target=job.run)
    listening.start()
    while not house.events.subscribers:
        time.sleep(0.001)
    house.run("kill", container)
    assert arrived.wait(5)
    job.cancel()
    listening.join(5)
    assert [json.loads(line)["Action"] for line in output.getvalue().splitlines()] == ["die"]
    assert house.run("subscribers_count") == {"count": 0}


def test_info_version_df(house: FakeHouse) -> None:
    """What stock clients read of the daemon."""
    house.start("sleep")
    info = house.run("info")
    assert (info["Containers"], info["ContainersRunning"], info["Images"]) == (1, 1, 1)
    assert info["Swarm"]["LocalNodeState"] == "inactive" and info["ExecutionDriver"] == "fake-1"
    assert house.run("info")["ID"] == info["ID"] == (house.root / "engine-id").read_text().strip()
    version = house.run("version")
    assert version["ApiVersion"] == "1.41" and version["Components"][0]["Name"] == "Engine"
    df = house.run("system_df")
    assert df["Images"][0]["Created"] == 0, "the image does not say when it was made"
    assert len(df["Images"]) == len(df["Containers"]) == 1 and df["Volumes"] == []
    assert house.run("plugins") == []
    with pytest.raises(Unavailable):
        house.run("swarm_leave")


def test_system_df_shares_and_dates(house: FakeHouse) -> None:
    """What two images have in common is counted as shared by each, and an image's date is its own."""
    layer = house.graph.add_layer(None, stream(tar({"a": "12345"})))
    for word in ("one", "two"):
        config = ImageConfig(
            "amd64", "linux", created="2014-08-20T17:03:05Z", config={"Cmd": [word]}, diff_ids=(layer.diff_id,)
        )
        house.graph.register(config.encode())
    images = house.run("system_df")["Images"]
    assert sorted((one["Size"], one["SharedSize"], one["Created"]) for one in images) == [
        (0, 0, 0), (5, 5, 1408554185), (5, 5, 1408554185),
    ]  # fmt: skip


def test_info_tells_the_limits_that_can_be_kept() -> None:
    """By what the kernel has, one by one: swap may lack where memory is counted."""
    features = CgroupFeatures(memory=True, cpu_quota=True, pids=True, oom_kill_disable=True)
    limits = limits_of(features)
    assert {name for name, kept in limits.items() if kept} == {
        "MemoryLimit", "CpuCfsPeriod", "CpuCfsQuota", "PidsLimit", "OomKillDisable",
    }  # fmt: skip
    warnings = machine_warnings(limits | {"IPv4Forwarding": False})
    assert "WARNING: No swap limit support" in warnings and "WARNING: IPv4 forwarding is disabled" in warnings
    assert not any("memory limit" in warning for warning in warnings)


def test_a_driver_without_limits_keeps_none(house: FakeHouse) -> None:
    """Whatever the kernel could: the fake driver has no walls at all."""
    info = house.run("info")
    assert info["Walls"]["limits"] is info["MemoryLimit"] is info["PidsLimit"] is False


def test_info_tells_how_registries_are_spoken_to() -> None:
    """As the flags have it: networks and hosts apart, mirrors for Docker Hub."""
    config = registry_config(("r:5000", "10.0.0.0/8"), ("https://mirror.example",))
    assert config["InsecureRegistryCIDRs"] == ["127.0.0.0/8", "10.0.0.0/8"]
    assert config["IndexConfigs"]["r:5000"]["Secure"] is False and config["IndexConfigs"]["docker.io"]["Secure"] is True
    assert config["Mirrors"] == config["IndexConfigs"]["docker.io"]["Mirrors"] == ["https://mirror.example/"]


def test_container_prune(house: FakeHouse) -> None:
    """Those that do not run go; a label spares."""
    running = house.start("sleep")
    gone, spared = house.create("true"), house.create("true", Labels={"keep": "1"})
    pruned: dict[str, Any] = house.run("container_prune", filters='{"label!": ["keep"]}')
    assert pruned["ContainersDeleted"] == [gone]
    assert {container.id for container in house.containers.all()} == {running, spared}


class _Arrival:
    def __init__(self, arrived: threading.Event) -> None:
        self._arrived = arrived

    def write(self, data: bytes) -> None:
        self._arrived.set()


def test_volume_prune_by_label_and_kind(house: FakeHouse) -> None:
    """What has a label of ``label!`` stays; ``all=false`` spares those that somebody named; volumes have no age."""
    for name, labels in (("kept", {"keep": ""}), ("named", {})):
        house.run("volume_create", body={"Name": name, "Labels": labels})
    anonymous = house.run("volume_create", body={})["Name"]
    unlabelled = {"label!": ["keep"]}
    pruned = house.run("volume_prune", filters=json.dumps(unlabelled | {"all": ["false"]}))
    assert pruned["VolumesDeleted"] == [anonymous]
    assert house.run("volume_prune", filters=json.dumps(unlabelled))["VolumesDeleted"] == ["named"]
    with pytest.raises(Invalid, match="Invalid filter 'until'"):
        house.run("volume_prune", filters='{"until": ["1h"]}')
    assert [volume["Name"] for volume in house.run("volumes")["Volumes"]] == ["kept"]


@pytest.mark.parametrize("note", [b"", b"{", b"{}", b"[]", b'{"Created": "", "Anonymous": false, "Labels": 5}', None])
def test_a_volume_whose_note_is_damaged_keeps_name_and_content(
    house: FakeHouse, note: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    """What lies in it is the user's: it does not vanish without a word, and no prune of nameless ones takes it."""
    content = house.volumes.create("data", labels={"a": "1"}).mountpoint
    (content / "precious").write_text("x")
    opts = content.parent / "opts.json"
    opts.unlink()
    if note is not None:
        opts.write_bytes(note)
    (volume,) = VolumeStore(house.volumes.root, house.kernel).all()
    assert (volume.name, volume.mountpoint, volume.anonymous) == ("data", content, False)
    assert "the note of volume data is damaged" in caplog.text


def test_a_half_made_volume_is_none(house: FakeHouse, caplog: pytest.LogCaptureFixture) -> None:
    """A crash before its note was written: nobody was told that it exists, and nothing is in it."""
    (house.volumes.root / "half" / "_data").mkdir(parents=True)
    (house.volumes.root / "less").mkdir()
    assert VolumeStore(house.volumes.root, house.kernel).all() == [] and not caplog.text


def test_a_volume_is_removed_once(house: FakeHouse) -> None:
    """Of two who remove it at the same moment, one does it and one is told that it is gone."""
    house.volumes.create("data")
    both_ready, outcomes = threading.Barrier(2), []

    def remove() -> None:
        both_ready.wait(10)
        try:
            house.volumes.remove("data")
            outcomes.append("removed")
        except NotFound:
            outcomes.append("gone")

    threads = [threading.Thread(target=remove) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert sorted(outcomes) == ["gone", "removed"] and list(house.volumes.root.iterdir()) == []

"""Each command against a cardboard daemon: what it asks for, and what it prints."""

from __future__ import annotations

import io
import json
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_daemon import Answer, Asked, FakeDaemon

from mini_docker.__main__ import PROGRAMS, main, program_of
from mini_docker.client import ALIASES, MODULES
from mini_docker.remote_api import STDERR, STDOUT, frame_header

Cli = Callable[..., tuple[int, str, str]]
ID = "0123456789ab" + "c" * 52


@pytest.fixture
def cli(daemon: FakeDaemon, capfd: pytest.CaptureFixture[str]) -> Cli:
    """Run the client in this process: (exit code, standard output, standard error)."""

    def run(*words: str) -> tuple[int, str, str]:
        status = main(list(words))
        out, err = capfd.readouterr()
        return status, out, err

    return run


def summary(**more: Any) -> dict[str, Any]:
    return {
        "Id": ID, "Names": ["/web"], "Image": "busybox", "ImageID": "sha256:1", "Command": "httpd -f -p 80 -h /etc/www",
        "Created": int(time.time()) - 125, "State": "running", "Status": "Up 2 minutes", "Labels": {"b": "2", "a": "1"},
        "Ports": [{"IP": "127.0.0.1", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"}],
    } | more  # fmt: skip


def test_ps(daemon: FakeDaemon, cli: Cli) -> None:
    """The table that everybody knows, column by column three spaces apart."""
    daemon.route("GET", "/containers/json", Answer(json=[summary()]))
    status, out, _ = cli("ps", "-a", "--filter", "status=running")
    assert status == 0
    heads, row = out.splitlines()
    cells = [
        ("CONTAINER ID", "0123456789ab"), ("IMAGE", "busybox"), ("COMMAND", '"httpd -f -p 80 -h /…"'),
        ("CREATED", "2 minutes ago"), ("STATUS", "Up 2 minutes"), ("PORTS", "127.0.0.1:8080->80/tcp"), ("NAMES", "web"),
    ]  # fmt: skip
    widths = [max(7, *map(len, pair)) for pair in cells]  # no column is narrower than ten, the gap included
    for line, side in ((heads, 0), (row, 1)):
        assert line == "   ".join(pair[side].ljust(width) for pair, width in zip(cells, widths, strict=True)).rstrip()
    assert daemon.asked[0].query == {"all": "1", "filters": '{"status":{"running":true}}'}


def test_ps_formats(daemon: FakeDaemon, cli: Cli) -> None:
    """Ids alone, a template, a table by template, JSON lines."""
    daemon.route("GET", "/containers/json", Answer(json=[summary()]))
    assert cli("ps", "-q")[1] == "0123456789ab\n"
    assert cli("ps", "-q", "--no-trunc")[1] == ID + "\n"
    assert cli("ps", "--format", "{{.Names}}\\t{{.Labels}}")[1] == "web\ta=1,b=2\n"
    assert cli("ps", "--format", "table {{.Names}}\\t{{.ID}}")[1] == "NAMES     CONTAINER ID\nweb       0123456789ab\n"
    assert json.loads(cli("ps", "--format", "json")[1])["Image"] == "busybox"
    status, _, err = cli("ps", "--format", "{{.Nope}}")
    assert status == 1 and "template parsing error" in err


def test_an_empty_list_still_has_its_heads(daemon: FakeDaemon, cli: Cli) -> None:
    """People see that it worked and that there is nothing."""
    daemon.route("GET", "/containers/json", Answer(json=[]))
    assert cli("ps")[1] == "CONTAINER ID   IMAGE     COMMAND   CREATED   STATUS    PORTS     NAMES\n"


def test_ports_are_joined_to_ranges() -> None:
    """Neighbours that keep their number are one word, as in Docker's PORTS column; the others stand alone."""
    from mini_docker.commands.containers import ports

    def port(private: int, public: int = 0, address: str = "") -> dict[str, Any]:
        return {"PrivatePort": private, "Type": "tcp"} | ({"PublicPort": public, "IP": address} if public else {})

    assert ports([port(80, 8080, "0.0.0.0"), port(81, 8081, "0.0.0.0"), port(80, 8080, "::"), port(443)]) == (
        "443/tcp, 0.0.0.0:8080->80/tcp, [::]:8080->80/tcp, 0.0.0.0:8081->81/tcp"
    )
    same = [port(number, number, "0.0.0.0") for number in (80, 81, 82, 90)]
    assert ports(same) == "0.0.0.0:80-82->80-82/tcp, 0.0.0.0:90->90/tcp"
    assert ports([port(1), port(3), port(2)]) == "1-3/tcp"
    assert ports([]) == ""


def test_one_failure_does_not_stop_the_others(daemon: FakeDaemon, cli: Cli) -> None:
    """``rm a b c``: what works is done and named, what fails is said, and the code is 1."""
    daemon.route("DELETE", "/containers/(a|c)", Answer(204))
    daemon.route("DELETE", "/containers/b", Answer(404, {"message": "No such container: b"}))
    status, out, err = cli("rm", "-f", "a", "b", "c")
    assert (status, out, err) == (1, "a\nc\n", "Error response from daemon: No such container: b\n")
    assert daemon.asked[0].query == {"force": "1"}


@pytest.mark.parametrize(
    ("words", "request_line"),
    [
        ("stop -t 3 web", "POST /containers/web/stop?t=3"),
        ("stop -t 0 web", "POST /containers/web/stop?t=0"),
        ("stop web", "POST /containers/web/stop"),
        ("restart --time 1 web", "POST /containers/web/restart?t=1"),
        ("kill -s HUP web", "POST /containers/web/kill?signal=HUP"),
        ("kill web", "POST /containers/web/kill"),
        ("pause web", "POST /containers/web/pause"),
        ("unpause web", "POST /containers/web/unpause"),
        ("start web", "POST /containers/web/start"),
        ("rename web db", "POST /containers/web/rename?name=db"),
        ("container stop web", "POST /containers/web/stop"),
        ("tag a:1 host:5000/b:2", "POST /images/a:1/tag?repo=host:5000/b&tag=2"),
        ("network rm n", "DELETE /networks/n"),
        ("volume rm -f v", "DELETE /volumes/v?force=1"),
    ],
)
def test_plain_levers(daemon: FakeDaemon, cli: Cli, words: str, request_line: str) -> None:
    """One request each, with just what was said."""
    for method in ("POST", "DELETE"):
        daemon.route(method, "/.*", Answer(204))
    assert cli(*words.split())[0] == 0
    assert [str(asked) for asked in daemon.asked] == [request_line]


def test_update_and_wait(daemon: FakeDaemon, cli: Cli) -> None:
    """update sends only the limits that were given; wait prints exit codes."""
    daemon.route("POST", "/containers/web/update", Answer(json={"Warnings": None}))
    daemon.route("POST", "/containers/web/wait", Answer(json={"StatusCode": 137, "Error": None}))
    assert cli("update", "-m", "64m", "--restart", "always", "web")[:2] == (0, "web\n")
    assert daemon.asked[0].body == {"Memory": 64 << 20, "RestartPolicy": {"Name": "always", "MaximumRetryCount": 0}}
    assert cli("update", "web")[0] == 1
    assert cli("wait", "web")[:2] == (0, "137\n")


def test_logs(daemon: FakeDaemon, cli: Cli) -> None:
    """The two streams go where they belong; with a terminal there is one, raw."""
    frames = [frame_header(STDOUT, 2) + b"o\n", frame_header(STDERR, 2) + b"e\n"]
    daemon.route("GET", "/containers/web/json", Answer(json={"Config": {"Tty": False}}))
    daemon.route("GET", "/containers/web/logs", lambda _: Answer(body=iter(frames)))
    assert cli("logs", "-f", "-n", "5", "-t", "web") == (0, "o\n", "e\n")
    assert daemon.asked[1].query == {"stdout": "1", "stderr": "1", "follow": "1", "tail": "5", "timestamps": "1"}
    daemon.route("GET", "/containers/web/json", Answer(json={"Config": {"Tty": True}}))
    daemon.route("GET", "/containers/web/logs", lambda _: Answer(body=iter([b"raw\r\n"])))
    assert cli("logs", "--since", "100", "web")[1] == "raw\r\n"
    assert daemon.asked[3].query["since"] == "100"


def test_inspect(daemon: FakeDaemon, cli: Cli) -> None:
    """Types are tried in order; what is missing is named, and the rest still shown."""
    daemon.route("GET", "/containers/web/json", Answer(json={"Name": "/web", "State": {"Running": True}}))
    daemon.route("GET", "/volumes/vol", Answer(json={"Name": "vol"}))
    daemon.route("GET", "/(containers|images|networks|volumes)/none(/json)?", Answer(404, {"message": "no"}))
    for kind in ("containers/vol/json", "images/vol/json", "networks/vol"):
        daemon.route("GET", f"/{kind}", Answer(404, {"message": "no"}))
    assert cli("inspect", "-f", "{{.State.Running}}", "web") == (0, "true\n", "")
    status, out, err = cli("inspect", "web", "vol", "none")
    assert status == 1 and [found["Name"] for found in json.loads(out)] == ["/web", "vol"]
    assert err == "Error: No such object: none\n"
    assert cli("inspect", "--type", "house", "web")[0] == 1


def test_images_and_rmi(daemon: FakeDaemon, cli: Cli) -> None:
    """A row a name; an image without one is dangling."""
    image = {"Id": f"sha256:{ID}", "Created": int(time.time()) - 7200, "Size": 4_240_000, "RepoDigests": []}
    found = [image | {"RepoTags": ["busybox:latest", "host:5000/b:1"]}, image | {"RepoTags": None}]
    daemon.route("GET", "/images/json", Answer(json=found))
    assert cli("images")[1].splitlines() == [
        "REPOSITORY    TAG       IMAGE ID       CREATED       SIZE",
        "busybox       latest    0123456789ab   2 hours ago   4.24MB",
        "host:5000/b   1         0123456789ab   2 hours ago   4.24MB",
        "<none>        <none>    0123456789ab   2 hours ago   4.24MB",
    ]
    daemon.route("DELETE", "/images/busybox", Answer(json=[{"Untagged": "busybox:latest"}, {"Deleted": "sha256:1"}]))
    assert cli("rmi", "busybox")[1] == "Untagged: busybox:latest\nDeleted: sha256:1\n"


def test_images_as_a_picture(daemon: FakeDaemon, cli: Cli) -> None:
    """--tree and --viz print what the daemon drew, of all images or not at all."""
    daemon.route("GET", "/images/tree", Answer(body=iter(["└─0123456789ab\n".encode()])))
    daemon.route("GET", "/images/viz", Answer(body=iter([b"digraph docker {}\n"])))
    assert cli("images", "--tree")[:2] == (0, "└─0123456789ab\n")
    assert cli("images", "--viz")[:2] == (0, "digraph docker {}\n")
    for words in (["--tree", "--viz"], ["--tree", "busybox"], ["--viz", "-q"]):
        assert cli("images", *words)[0] == 1


def test_networks_as_a_picture(daemon: FakeDaemon, cli: Cli) -> None:
    """What the daemon drew is printed, in the language asked for."""
    daemon.route("GET", "/system/network", Answer(body=iter(["└─ web\n".encode()])))
    assert cli("network", "show")[:2] == (0, "└─ web\n")
    daemon.route("GET", "/system/network", Answer(body=iter([b"digraph network {}\n"])))
    assert cli("network", "show", "--viz")[:2] == (0, "digraph network {}\n")
    assert daemon.asked[-1].query["viz"] == "1"


def test_import_load_save(daemon: FakeDaemon, cli: Cli, tmp_path: Path) -> None:
    """Files go up in chunks and come down whole or not at all."""
    tar = tmp_path / "x.tar"
    tar.write_bytes(b"t" * 300_000)
    daemon.route("POST", "/images/create", lambda _: Answer(body=iter([b'{"status":"sha256:abc"}\n'])))
    assert cli("import", "-c", "CMD x", str(tar), "box:1")[:2] == (0, "sha256:abc\n")
    assert daemon.asked[0].query == {"fromSrc": "-", "repo": "box", "tag": "1", "changes": "CMD x"}
    assert daemon.asked[0].body == tar.read_bytes()
    daemon.route("POST", "/images/load", lambda _: Answer(body=iter([b'{"stream":"Loaded image: box:1\\n"}\n'])))
    assert cli("load", "-i", str(tar))[1] == "Loaded image: box:1\n"
    daemon.route("GET", "/images/get", lambda _: Answer(body=iter([b"abc", b"def"])))
    out = tmp_path / "out.tar"
    assert cli("save", "-o", str(out), "box:1")[0] == 0
    assert out.read_bytes() == b"abcdef" and [path.name for path in tmp_path.iterdir() if "part" in path.name] == []
    assert cli("import", "/no/such")[0] == 1


def test_pull_push_login(daemon: FakeDaemon, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log-in is kept for its registry alone, and sent with what goes there."""
    import base64

    lines = [b'{"status":"Status: Downloaded newer image for h.example/a:latest"}\n']
    daemon.route("POST", "/images/create", lambda _: Answer(body=iter(lines)))
    daemon.route("POST", "/images/.*/push", lambda _: Answer(body=iter([b'{"status":"done"}\n'])))
    daemon.route("POST", "/auth", Answer(json={"IdentityToken": "", "Status": "Login Succeeded"}))
    monkeypatch.setattr("sys.stdin", io.StringIO("secret\n"))
    assert cli("login", "-u", "me", "--password-stdin", "https://h.example")[:2] == (0, "Login Succeeded\n")
    assert daemon.asked[0].body == {"username": "me", "password": "secret", "serveraddress": "h.example"}
    status, out, _ = cli("pull", "h.example/a")
    assert status == 0 and out.splitlines()[0] == "Using default tag: latest" and "Downloaded newer" in out
    auth = json.loads(base64.urlsafe_b64decode(daemon.asked[1].headers["x-registry-auth"]))
    assert auth == {"username": "me", "password": "secret", "serveraddress": "h.example"}
    cli("push", "other/a:1")
    assert daemon.asked[2].headers["x-registry-auth"] == "e30="
    assert str(daemon.asked[2]) == "POST /images/other/a/push?tag=1"
    assert "Removing login" in cli("logout", "h.example")[1]
    assert "Not logged in" in cli("logout", "h.example")[1]


def test_networks_and_volumes(daemon: FakeDaemon, cli: Cli) -> None:
    """Creation sends the pools by position; lists are sorted by name."""
    daemon.route("POST", "/networks/create", Answer(201, {"Id": ID, "Warning": ""}))
    assert (
        cli("network", "create", "--subnet", "10.1.0.0/24", "--gateway", "10.1.0.1", "-o", "a=b", "n")[1] == ID + "\n"
    )
    body = daemon.asked[0].body
    assert body["IPAM"]["Config"] == [{"Subnet": "10.1.0.0/24", "Gateway": "10.1.0.1"}] and body["Options"] == {
        "a": "b"
    }
    networks = [{"Id": ID, "Name": name, "Driver": "bridge", "Scope": "local"} for name in ("z", "a")]
    daemon.route("GET", "/networks", Answer(json=networks))
    assert [line.split()[1] for line in cli("network", "ls")[1].splitlines()[1:]] == ["a", "z"]
    daemon.route("POST", "/networks/n/connect", Answer(200))
    cli("network", "connect", "--ip", "10.1.0.9", "--alias", "db", "n", "web")
    endpoint = {"IPAMConfig": {"IPv4Address": "10.1.0.9"}, "Aliases": ["db"]}
    assert daemon.asked[-1].body == {"Container": "web", "EndpointConfig": endpoint}
    daemon.route("POST", "/volumes/create", Answer(201, {"Name": "v"}))
    assert cli("volume", "create", "--label", "x", "v")[1] == "v\n"
    daemon.route("GET", "/volumes", Answer(json={"Volumes": [{"Name": "v", "Driver": "local"}], "Warnings": None}))
    assert cli("volume", "ls")[1] == "DRIVER    VOLUME NAME\nlocal     v\n"


def test_events_port_top_diff(daemon: FakeDaemon, cli: Cli) -> None:
    """The small views."""
    event = {
        "Type": "container", "Action": "start", "Actor": {"ID": "c1", "Attributes": {"name": "web", "image": "b"}},
        "timeNano": 1_700_000_000_123_456_789,
    }  # fmt: skip
    daemon.route("GET", "/events", lambda _: Answer(body=iter([json.dumps(event).encode() + b"\n"])))
    assert (
        cli("events", "--since", "1", "--until", "2")[1].split(" ", 1)[1] == "container start c1 (image=b, name=web)\n"
    )
    assert cli("events", "--until", "2", "--format", "{{.Action}}")[1] == "start\n"
    bound = {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "18080"}], "90/tcp": None}
    daemon.route("GET", "/containers/web/json", Answer(json={"NetworkSettings": {"Ports": bound}}))
    assert cli("port", "web", "80")[1] == "127.0.0.1:18080\n"
    assert cli("port", "web")[1] == "80/tcp -> 127.0.0.1:18080\n"
    assert cli("port", "web", "90")[0] == 1
    daemon.route(
        "GET", "/containers/web/top", Answer(json={"Titles": ["PID", "CMD"], "Processes": [["1", "httpd -f"]]})
    )
    assert cli("top", "web", "-o", "pid,cmd")[1] == f"{'PID':20}CMD\n{'1':20}httpd -f\n"
    assert daemon.asked[-1].query == {"ps_args": "-o pid,cmd"}
    daemon.route(
        "GET", "/containers/web/changes", Answer(json=[{"Kind": 0, "Path": "/a"}, {"Kind": 1, "Path": "/a/b"}])
    )
    assert cli("diff", "web")[1] == "C /a\nA /a/b\n"


def test_stats_once(daemon: FakeDaemon, cli: Cli) -> None:
    """``--no-stream`` takes the second sample: the first has nothing to be compared with."""
    first = {
        "id": ID, "name": "/web", "pids_stats": {"current": 3},
        "cpu_stats": {"cpu_usage": {"total_usage": 100}, "system_cpu_usage": 1000, "online_cpus": 2},
        "precpu_stats": {}, "memory_stats": {"usage": 3 << 20, "limit": 1 << 30, "stats": {"inactive_file": 1 << 20}},
    }  # fmt: skip
    cpu = {"cpu_usage": {"total_usage": 600}, "system_cpu_usage": 2000, "online_cpus": 2}
    second = first | {"cpu_stats": cpu, "precpu_stats": first["cpu_stats"]}
    lines = [json.dumps(sample).encode() + b"\n" for sample in (first, second)]
    daemon.route("GET", "/containers/web/stats", lambda _: Answer(body=iter(lines)))
    out = cli("stats", "--no-stream", "--format", "{{.Name}} {{.CPUPerc}} {{.MemUsage}} {{.PIDs}}", "web")[1]
    assert out == "web 100.00% 2MiB / 1GiB 3\n"


def test_prune_asks_first(daemon: FakeDaemon, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without ``-f`` nothing goes before a yes."""
    daemon.route("POST", "/containers/prune", Answer(json={"ContainersDeleted": ["c1"], "SpaceReclaimed": 5}))
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    assert cli("container", "prune")[0] == 1 and not daemon.asked
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert cli("container", "prune")[1].endswith("Deleted Containers:\nc1\n\nTotal reclaimed space: 5B\n")


def test_jobs(daemon: FakeDaemon, cli: Cli) -> None:
    """A child job stands under the one that ran it; one whose parent is forgotten stands at the root."""

    def record(id: int, parent: int, name: str, duration: float | None = 0.002, status: int = 0) -> dict[str, Any]:
        return {
            "Id": id, "Parent": parent, "Name": name, "Args": ["x"], "Started": time.time(), "Duration": duration,
            "Status": None if duration is None else status, "Error": "no" if status else "",
        }  # fmt: skip

    records = [
        record(5, 2, "log"),
        record(6, 0, "create"),
        record(7, 6, "image_get", 0.0001),
        record(8, 6, "mount", 2.5, 1),
    ]
    daemon.route("GET", "/jobs", Answer(json=records))
    assert cli("jobs")[1].splitlines() == [
        "log(x) = OK (0)  2 ms",
        "create(x) = OK (0)  2 ms",
        "├─ image_get(x) = OK (0)  100 µs",
        "└─ mount(x) = ERR (1)  2.5 s  no",
    ]
    lines = [
        json.dumps(each).encode() + b"\n"
        for each in (record(1, 0, "a", None), record(2, 1, "b", None), record(2, 1, "b"))
    ]
    daemon.route("GET", "/jobs", lambda _: Answer(body=iter(lines)))
    assert [line[9:] for line in cli("jobs", "-f")[1].splitlines()] == [
        "+ a(x)",
        "   + b(x)",
        "   - b(x) = OK (0)  2 ms",
    ]


def test_jobs_have_short_ids(daemon: FakeDaemon, cli: Cli) -> None:
    """Sixty-four digits a word make a tree unreadable; whoever needs them says --no-trunc."""
    record = {
        "Id": 1, "Parent": 0, "Name": "tag", "Args": [f"sha256:{ID}", ID.replace("c", "d"), "busybox"], "Started": 1.0,
        "Duration": 0.5, "Status": 0, "Error": "",
    }  # fmt: skip
    daemon.route("GET", "/jobs", Answer(json=[record]))
    assert cli("jobs")[1] == "tag(0123456789ab, 0123456789ab, busybox) = OK (0)  500 ms\n"
    assert f"sha256:{ID}" in cli("jobs", "--no-trunc")[1]


def place(mode: int, target: str = "") -> dict[str, str]:
    import base64

    found = json.dumps({"name": "x", "size": 1, "mode": mode, "mtime": "", "linkTarget": target}).encode()
    return {"X-Docker-Container-Path-Stat": base64.b64encode(found).decode()}


def tar_of(**members: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name.replace("__", "/"))
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def test_cp_out(daemon: FakeDaemon, cli: Cli, tmp_path: Path) -> None:
    """Into a directory that exists under the own name; else under the new one. Nothing may lead outside."""
    daemon.route("GET", "/containers/web/archive", Answer(body=tar_of(passwd=b"root")))
    status, _, err = cli("cp", "web:/etc/passwd", str(tmp_path))
    assert status == 0 and (tmp_path / "passwd").read_bytes() == b"root"
    assert err == "", "off a terminal success is silent"
    assert cli("cp", "-q", "web:/etc/passwd", f"{tmp_path}/new")[2] == ""
    assert (tmp_path / "new").read_bytes() == b"root"
    daemon.route("GET", "/containers/web/archive", Answer(body=tar_of(**{"..__evil": b"x"})))
    (tmp_path / "in").mkdir()
    status, _, err = cli("cp", "web:/x", f"{tmp_path}/in")
    assert status == 1 and "outside" in err and not (tmp_path / "evil").exists()


def test_cp_out_through_a_link(daemon: FakeDaemon, cli: Cli, tmp_path: Path) -> None:
    """A link that an earlier member made must not carry a later member out of the target."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        link = tarfile.TarInfo("d/link")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path)
        folder = tarfile.TarInfo("d")
        folder.type, folder.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(folder)
        tar.addfile(link)
        tar.addfile(tarfile.TarInfo("d/link/evil"), io.BytesIO())
    daemon.route("GET", "/containers/web/archive", Answer(body=out.getvalue()))
    (tmp_path / "in").mkdir()
    status, _, err = cli("cp", "web:/d", f"{tmp_path}/in")
    assert status == 1 and "out of" in err and not (tmp_path / "evil").exists()


def test_cp_in(daemon: FakeDaemon, cli: Cli, tmp_path: Path) -> None:
    """A tree goes in as a tar stream, named by where it goes; links and modes are kept."""
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "f").write_bytes(b"x" * 1000)
    (tree / "f").chmod(0o640)
    (tree / "l").symlink_to("f")
    (tree / "h").hardlink_to(tree / "f")
    daemon.route("PUT", "/containers/web/archive", Answer(200))
    daemon.route("HEAD", "/containers/web/archive", Answer(200, headers=place(1 << 31 | 0o755)))
    assert cli("cp", str(tree), "web:/srv")[0] == 0
    put = daemon.asked[-1]
    assert put.query["path"] == "/srv"
    with tarfile.open(fileobj=io.BytesIO(put.body)) as tar:
        members = {member.name: member for member in tar}
        assert set(members) == {"tree", "tree/f", "tree/h", "tree/l"}
        assert members["tree/f"].mode == 0o640 and members["tree/h"].islnk() and members["tree/l"].linkname == "f"
        extracted = tar.extractfile("tree/f")
        assert extracted is not None and extracted.read() == b"x" * 1000
    daemon.route("HEAD", "/containers/web/archive", Answer(404))
    daemon.route("GET", "/containers/web/json", Answer(json={}))
    assert cli("cp", str(tree / "f"), "web:/srv/new")[0] == 0
    assert daemon.asked[-1].query["path"] == "/srv"
    with tarfile.open(fileobj=io.BytesIO(daemon.asked[-1].body)) as tar:
        assert tar.getnames() == ["new"]
    assert cli("cp", "/no/such/file", "web:/srv")[0] == 1
    assert cli("cp", "a:/x", "b:/y")[0] == 1


def test_export_and_commit(daemon: FakeDaemon, cli: Cli) -> None:
    """Bytes as they come to a pipe; commit prints the id."""
    daemon.route("GET", "/containers/web/export", lambda _: Answer(body=iter([b"tar"])))
    assert cli("export", "web")[1] == "tar"
    daemon.route("POST", "/commit", Answer(201, {"Id": "sha256:1"}))
    assert cli("commit", "-m", "why", "-c", "CMD a", "web", "b:1")[1] == "sha256:1\n"
    expected = {"container": "web", "repo": "b", "tag": "1", "comment": "why", "changes": "CMD a"}
    assert daemon.asked[-1].query == expected


def test_version_and_info(daemon: FakeDaemon, cli: Cli) -> None:
    """Both ends are shown; a template chooses."""
    daemon.route("GET", "/version", Answer(json={"Version": "9.9", "ApiVersion": "1.41", "Os": "linux", "Arch": "x"}))
    assert " Version:        9.9\n" in cli("version")[1]
    assert cli("version", "--format", "{{.Server.Version}}")[1] == "9.9\n"
    told = {"Containers": 3, "Driver": "overlay", "MemTotal": 1 << 30, "ExecutionDriver": "native-0.1"}
    walls, others = {"pid": True, "mount": True, "user": False}, {"chroot": "", "qemu": "later"}
    daemon.route("GET", "/info", Answer(json=told | {"Walls": walls, "OtherExecutionDrivers": others}))
    out = cli("info")[1]
    assert (
        "Execution Driver: native-0.1\n Walls: pid mount\n No Walls: user\n Other: chroot\n"
        " Other: qemu (not available: later)\n" in out
    )
    assert "Containers: 3\n" in out and "Storage Driver: overlay\n" in out and "Total Memory: 1GiB\n" in out


def test_mistakes(daemon: FakeDaemon, cli: Cli) -> None:
    """A wrong flag is 125, a wrong command 1, no daemon 1: each with one clear sentence, nothing asked."""
    assert cli("run", "--nosuch")[0] == 125
    status, _, err = cli("nosuch")
    assert status == 1 and "unknown command: mini-docker nosuch" in err
    status, _, err = cli("-H", "unix:///no/such", "ps")
    assert (status, err) == (
        1, "Cannot connect to the Docker daemon at unix:///no/such. Is the docker daemon running?\n",
    )  # fmt: skip
    assert cli("-H", "unix:///no/such", "run", "busybox")[0] == 125
    for words in ("run -p x busybox", "run --restart on-failure:x b", "run -a nose b", "run --env-file /no/such b"):
        assert cli(*words.split())[0] == 125, words
    assert not daemon.asked


def test_help(cli: Cli) -> None:
    """Help is generated for all commands and for each family, and needs no daemon."""
    out = cli("--help")[1]
    assert all(name in out for names in MODULES.values() for name in names)
    assert cli("help", "run")[1] == cli("run", "--help")[1]
    assert "  ls " in cli("network")[1] and cli("network", "--help")[1] == cli("network")[1]
    assert cli("volume", "nosuch")[0] == 1
    assert set(ALIASES.values()) <= {name for names in MODULES.values() for name in names}


@pytest.mark.parametrize(
    ("words", "program", "rest"),
    [
        ("daemon -H unix:///x", "daemon", "-H unix:///x"),
        ("-d -H unix:///x", "daemon", "-H unix:///x"),
        ("-H unix:///x -d -s vfs", "daemon", "-H unix:///x -s vfs"),
        ("-D -d", "daemon", "-D"),
        ("run -d busybox", "", "run -d busybox"),
        ("-H unix:///x run -d busybox", "", "-H unix:///x run -d busybox"),
        ("lab 3", "lab", "3"),
        ("registry", "registry", ""),
    ],
)
def test_one_command_many_programs(words: str, program: str, rest: str) -> None:
    """The first words decide; ``-d`` is the daemon only where no command stands before it."""
    assert program_of(words.split()) == (program, rest.split())
    assert program in ("", *PROGRAMS)


def test_a_request_is_shown_with_debug(daemon: FakeDaemon, cli: Cli) -> None:
    """``-D`` lets a learner see what a command really asks."""
    daemon.route("GET", "/containers/json", Answer(json=[]))
    assert cli("-D", "ps", "-a")[2] == "GET /v1.41/containers/json?all=1\n"


def test_asked_is_printable() -> None:
    """The fake's own words, which failures show."""
    assert str(Asked("GET", "/x", {"b": "1", "a": "2"})) == "GET /x?a=2&b=1"

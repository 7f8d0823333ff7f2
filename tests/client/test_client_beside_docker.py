"""The stock ``docker`` command is the measure: the same words make both clients ask for the same.

Both run against the same cardboard daemon. What one leaves out and the other sends as empty, zero or
null is the same request: the daemon's default applies either way.
"""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from typing import Any

import pytest
from fake_daemon import ROOT, Answer, Asked, FakeDaemon

from mini_docker.remote_api import STDOUT, frame_header

pytestmark = pytest.mark.skipif(shutil.which("docker") is None, reason="the stock docker command is not installed")

ID = "d" * 64


@pytest.fixture
def routes(daemon: FakeDaemon) -> FakeDaemon:
    """A daemon that says yes to everything that the two clients ask below."""
    inspected = {
        "Id": ID, "Name": "/web", "Config": {"Tty": False, "OpenStdin": False}, "HostConfig": {},
        "State": {"Running": True, "Status": "running"}, "NetworkSettings": {"Ports": {}},
    }  # fmt: skip
    daemon.route("HEAD", "/_ping", Answer(200))
    daemon.route("GET", "/version", Answer(json={"Version": "1", "ApiVersion": "1.41"}))
    daemon.route("POST", "/containers/create", Answer(201, {"Id": ID, "Warnings": []}))
    daemon.route("POST", "/containers/[^/]+/(start|stop|restart|kill|pause|unpause|rename)", Answer(204))
    daemon.route("POST", "/containers/[^/]+/wait", Answer(json={"StatusCode": 0, "Error": None}))
    frame = frame_header(STDOUT, 6) + b"hello\n"
    daemon.route("POST", "/containers/[^/]+/attach", lambda _: Answer(101, hijack=lambda peer: peer.sendall(frame)))
    daemon.route("GET", "/containers/[^/]+/json", Answer(json=inspected))
    daemon.route("GET", "/containers/json", Answer(json=[]))
    daemon.route("GET", "/images/json", Answer(json=[]))
    daemon.route("GET", "/networks", Answer(json=[]))
    daemon.route("GET", "/volumes", Answer(json={"Volumes": [], "Warnings": None}))
    daemon.route("GET", "/containers/[^/]+/logs", lambda _: Answer(body=iter([frame])))
    daemon.route("POST", "/containers/[^/]+/exec", Answer(201, {"Id": "e1"}))
    daemon.route("POST", "/exec/e1/start", lambda _: Answer(101, hijack=lambda peer: peer.sendall(frame)))
    daemon.route("GET", "/exec/e1/json", Answer(json={"ExitCode": 3, "Running": False}))
    daemon.route("POST", "/containers/[^/]+/update", Answer(json={"Warnings": None}))
    daemon.route("DELETE", "/containers/[^/]+", Answer(204))
    daemon.route("POST", "/networks/create", Answer(201, {"Id": ID, "Warning": ""}))
    daemon.route("POST", "/networks/[^/]+/(connect|disconnect)", Answer(200))
    daemon.route("POST", "/volumes/create", Answer(201, {"Name": "v", "Driver": "local"}))
    daemon.route("POST", "/images/.+/tag", Answer(201))
    daemon.route("POST", "/commit", Answer(201, {"Id": "sha256:1"}))
    daemon.route("POST", "/images/create", lambda _: Answer(body=iter([b'{"status":"Status: done"}\n'])))
    return daemon


def said(value: Any) -> Any:
    """*value* without what is empty, zero or null: what was really said."""
    if isinstance(value, dict):
        members = {name: said(member) for name, member in value.items()}
        return {name: member for name, member in members.items() if member not in (None, "", 0, False, [], {}, [0, 0])}
    return [said(member) for member in value] if isinstance(value, list) else value


def empty_maps_kept(body: Any) -> Any:
    """ExposedPorts and Volumes are sets written as maps to {}: their keys are what is said."""
    if isinstance(body, dict):
        for name in ("ExposedPorts", "Volumes"):
            if isinstance(body.get(name), dict):
                body = body | {name: sorted(body[name])}
    return body


def normal(asked: Asked) -> tuple[str, str, dict[str, str], Any]:
    """A request in the form in which two that mean the same are equal."""
    query = {name: value for name, value in asked.query.items() if value not in ("", "0", "false", "-1")}
    query = {name: "1" if value == "true" else value for name, value in query.items()}
    if "filters" in query:
        query["filters"] = str(sorted(json.loads(query["filters"]).items()))
    for name in ("repo", "fromImage"):  # the short name of an official image and its full one are the same image
        if name in query:
            query[name] = query[name].removeprefix("docker.io/library/")
    body = said(empty_maps_kept(asked.body))
    if isinstance(body, dict):
        host = body.get("HostConfig", {})
        if host.get("MemorySwappiness") == -1:  # "not set", which an absent field says too
            del host["MemorySwappiness"]
        if host.get("RestartPolicy") == {"Name": "no"}:
            del host["RestartPolicy"]
        if body.get("IPAM") == {"Driver": "default"}:
            del body["IPAM"]
        for holder, name in ((body, "Env"), (host, "Binds")):
            if name in holder:
                holder[name] = sorted(holder[name])  # docker keeps no order
        body.pop("CheckDuplicate", None)  # of old clients: names are always checked
        body = said(body)
    return asked.method, asked.path, query, body or None


COMMANDS = [
    "run -d busybox",
    "run --rm busybox echo hello",
    "run -i busybox cat",
    "run -d --name n -e A=1 -e HOME -w /w -u u -v /a:/b:ro -v vol:/c -v /anon -m 32m --cpus 1.5 busybox a b",
    "run -d -p 127.0.0.1:8080:80/tcp -p 9000-9001:90-91/udp -p 53 -P --expose 100-101 busybox",
    "run -d --label x=y --label z --hostname h --network none --restart on-failure:3 busybox",
    "run -d --dns 1.1.1.1 --dns-search a.b --dns-opt c --add-host a:1.2.3.4 --cap-add NET_ADMIN --cap-drop mknod b",
    "run -d --ulimit nofile=1:2 --ulimit nproc=5 --shm-size 1m --sysctl net.a=b --init --tmpfs /t:rw --tmpfs /u b",
    "run -d --device /dev/null --device /dev/a:/dev/b:r --log-opt a=b --security-opt no-new-privileges b",
    "run -d --log-driver none b",
    "run -d --entrypoint /e --link a:b --volumes-from q --mount type=bind,src=/a,dst=/bb,readonly b x",
    "run -d --stop-signal TERM --stop-timeout 3 --network foo --ip 1.2.3.4 --network-alias q b",
    "run -d --oom-score-adj 5 --pids-limit 9 --cpu-shares 3 --cpuset-cpus 0 --memory-swap -1 --memory-reservation 1m b",
    "run -d --pid host --ipc host --uts host --userns host --read-only --privileged --cgroupns private b",
    "run -d --group-add 3 --domainname d --cpu-period 1000 --cpu-quota 2000 --blkio-weight 20 --storage-opt size=1 b",
    "create -it --name n busybox sh -c 'echo hello'",
    "start web", "stop web", "stop -t 3 web", "restart -t 1 web", "kill -s HUP web", "kill web", "pause web",
    "unpause web", "rename web db", "wait web", "rm -f -v web", "update -m 64m --restart always web",
    "ps", "ps -a", "ps -n 3", "ps -l", "ps -q --filter status=exited --filter label=a", "images", "images -a",
    "images busybox", "network ls", "volume ls", "logs web", "logs -f --tail 5 -t web", "exec web true",
    "exec -u u -w /w -e A=1 web sh -c 'exit 3'", "port web", "attach web",
    "network create --subnet 10.1.0.0/24 --gateway 10.1.0.1 --internal -o a=b --label c=d n",
    "network connect --ip 10.1.0.9 --alias a n web", "network disconnect -f n web", "volume create --label a=b v",
    "tag busybox host:5000/b:2", "commit -m why -a me -c 'CMD a' web b:1", "pull busybox", "pull host:5000/a/b:3",
    "pull -q busybox:1", "pull -a host:5000/a", "pull -q -a host:5000/a", "pull localhost/a", "pull docker.io/a/b",
    f"pull a@sha256:{'1' * 64}",
]  # fmt: skip


@pytest.mark.parametrize("line", COMMANDS)
def test_same_words_same_requests(routes: FakeDaemon, line: str) -> None:
    """Same requests in the same order, same standard output, same exit code."""
    words = shlex.split(line)
    results = []
    for program in (["docker"], [sys.executable, "-m", "mini_docker"]):
        routes.asked.clear()
        done = subprocess.run(
            [*program, *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=30,
            cwd=ROOT,
            check=False,
        )
        requests = [normal(asked) for asked in routes.asked if asked.path not in ("/_ping", "/version", "/info")]
        results.append((requests, done.returncode, done.stdout, done.stderr))
    (theirs, their_code, their_out, their_err), (ours, our_code, our_out, our_err) = results
    assert our_code == their_code, (our_err, their_err)
    assert meaning(ours, line) == meaning(theirs, line)
    if words[0] not in ("ps", "images", "network", "volume"):  # tables: tested by themselves
        assert our_out == their_out


def meaning(requests: list[Any], line: str) -> list[Any]:
    """Requests without those that the stock client makes only for itself.

    Its detached run opens a wait and abandons it, and exec inspects the container before. A name may be
    resolved to an id on the way.
    """
    kept = []
    for method, path, query, body in requests:
        if line.startswith("run -d") and path.endswith("/wait"):
            continue
        if line.startswith("exec") and path == "/containers/web/json":
            continue
        if line.startswith("attach") and (method, path.replace(ID, "web"), query, body) in kept:
            continue  # it looks twice
        kept.append((method, path.replace(ID, "web"), query, body))
    return kept

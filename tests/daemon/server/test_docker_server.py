"""The Docker Server: one request is one job, and the job's end is the answer."""

from __future__ import annotations

import base64
import json
import socket
import threading
import time
from collections.abc import Callable

import pytest
from api_house import Api
from hypothesis import given
from hypothesis import strategies as st

from mini_docker import errors
from mini_docker.daemon.server.statuses import STATUS_BY_KIND, error_answer, status_of
from mini_docker.engine import Job, Status
from mini_docker.http.errors import RequestRefused
from mini_docker.http.limits import Limits

Serve = Callable[..., Api]


def fails(error: Exception) -> Callable[[Job], None]:
    """A handler that fails."""

    def handler(job: Job) -> None:
        raise error

    return handler


# the request


def test_a_request_becomes_a_job(serve: Serve) -> None:
    """Arguments from the path, environment from query and headers, input from the body, output to the answer."""
    seen: list[Job] = []

    def create(job: Job) -> None:
        seen.append(job)
        job.stdout.write(job.stdin.read().upper())

    target = "/v1.41/containers/create?name=a%20b&label=x&label=y&empty="
    headers = {"X-Registry-Auth": "e30=", "Content-Type": "application/json", "X-Other": "no"}
    response = serve({"create": create}).ask("POST", target, b'{"a": 1}', headers)
    assert (response.status, response.read()) == (201, b'{"A": 1}')
    (job,) = seen
    assert dict(job.env) == {
        "name": "a b",
        "label": '["x", "y"]',
        "empty": "",
        "X-Registry-Auth": "e30=",
        "Content-Type": "application/json",
    }
    assert job.parent is None and job.env.get_list("label") == ["x", "y"]


def test_a_name_that_no_environment_may_hold_is_invalid(serve: Serve) -> None:
    """A parameter's name becomes a variable's: what cannot be one is the client's mistake."""
    status, document = serve({"info": lambda job: None}).message("GET", "/info?a%3Db=1")
    assert status == 400 and "bad environment name" in document["message"]


def test_every_answer_says_what_the_server_is(serve: Serve) -> None:
    """Clients negotiate from the headers of whichever answer they get, an error's included."""
    api = serve({"info": lambda job: None})
    for target in ("/_ping", "/info", "/v1.41/info", "/nothing", "/v9.9/info", "/version"):
        response = api.ask("GET", target)
        response.read()
        assert response.headers["Api-Version"] == "1.41"
        assert response.headers["Ostype"] == "linux"
        assert response.headers["Docker-Experimental"] == "false"
        assert response.headers["Server"].startswith("mini-docker/")
    with api.connect() as sock:
        sock.sendall(b"junk\r\n\r\n")
        data = sock.recv(65536)
    assert b"\r\nApi-Version: 1.41\r\n" in data and b"\r\nContent-Type: application/json\r\n" in data


def test_ping(serve: Serve) -> None:
    """The first thing that every client asks; Builder-Version keeps the stock one from trying BuildKit."""
    api = serve()
    get, head = api.ask("GET", "/_ping"), api.ask("HEAD", "/v1.41/_ping")
    assert (get.status, get.read(), get.headers["Builder-Version"]) == (200, b"OK", "1")
    assert (head.status, head.read(), head.headers["Builder-Version"]) == (200, b"", "1")


def test_a_body_has_a_limit_unless_it_is_an_archive(serve: Serve) -> None:
    """A document is read into memory, so it is bounded; an archive flows through."""

    def count(job: Job) -> None:
        job.stdout.write(b"%d" % len(job.stdin.read()))

    api = serve({"create": count, "load": count}, Limits(body_bytes=1000, linger_seconds=0.2))
    response = api.ask("POST", "/containers/create", b"x" * 2000)
    assert response.status == 413 and "too large" in json.loads(response.read())["message"]
    response = api.ask("POST", "/images/load", b"x" * 2000)
    assert (response.status, response.read()) == (200, b"2000")


# documents


@pytest.mark.parametrize("failure", [None, errors.Conflict("in use")], ids=["ends well", "fails"])
def test_what_is_left_for_afterwards_waits_for_the_answer(serve: Serve, failure: Exception | None) -> None:
    """The whole answer is there while the task has not begun to end: it holds up nobody but itself."""
    answered, done = threading.Event(), threading.Event()

    def task() -> None:
        assert answered.wait(10)
        done.set()

    def create(job: Job) -> None:
        job.afterwards(task)
        job.stdout.write(b"{}")
        if failure:
            raise failure

    response = serve({"create": create}).ask("POST", "/v1.41/containers/create", b"{}")
    response.read()
    assert response.status == (409 if failure else 201) and not done.is_set()
    answered.set()
    assert done.wait(10)


def test_a_204_has_no_body(serve: Serve) -> None:
    """Whatever a job without a result writes is not part of the answer."""
    response = serve({"start": lambda job: job.stdout.write(b"noise") and None}).ask("POST", "/containers/c/start")
    assert (response.status, response.read(), response.headers["Content-Length"]) == (204, b"", None)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.NotFound("No such container: c"), 404),
        (errors.Invalid("bad parameter"), 400),
        (errors.CannotExecute("no such file", 127), 400),
        (errors.Conflict("in use"), 409),
        (errors.Denied("no"), 403),
        (errors.Unauthorized("who?"), 401),
        (errors.Unsupported("not on this kernel"), 501),
        (errors.Unavailable("later"), 503),
        (errors.DeadlineExceeded("too long"), 504),
        (errors.MiniDockerError("inside"), 500),
        (RuntimeError("a bug"), 500),
    ],
)
def test_a_kind_becomes_a_status(serve: Serve, error: Exception, status: int) -> None:
    """The CLI needs exactly this form: the type without a charset, and a message that is never empty."""
    response = serve({"container_inspect": fails(error)}).ask("GET", "/containers/c/json")
    assert response.status == status
    assert response.headers["Content-Type"] == "application/json"
    document = json.loads(response.read())
    assert document.pop("exit_code", 127) == 127
    assert document == {"message": str(error)}


def test_not_modified_has_no_body(serve: Serve) -> None:
    """304: starting a running container is no failure, and has nothing to say."""
    response = serve({"start": fails(errors.NotModified("running"))}).ask("POST", "/containers/c/start")
    assert (response.status, response.read()) == (304, b"")


def test_a_job_that_nobody_registered_is_not_implemented(serve: Serve) -> None:
    """Status 127 of the request's own job is 501; a missing job *inside* a job is a failure of ours."""

    def needs_help(job: Job) -> None:
        job.child("no_such_helper").run()

    api = serve({"info": needs_help})
    assert api.message("GET", "/version") == (501, {"message": "version: no such job"})
    assert api.message("GET", "/info")[0] == 500


def test_a_status_without_an_exception_is_a_failure_in_the_words_of_stderr(serve: Serve) -> None:
    """A handler may end like a process: a word on standard error and a status."""

    def info(job: Job) -> Status:
        job.stderr.write(b"out of paper\n")
        return Status.ERROR

    assert serve({"info": info}).message("GET", "/info") == (500, {"message": "out of paper"})


def test_pages_and_methods(serve: Serve) -> None:
    """404 for what is not there, 405 with Allow for what is there in another way."""
    api = serve()
    assert api.message("GET", "/nothing") == (404, {"message": "page not found"})
    response = api.ask("DELETE", "/version")
    assert (response.status, response.headers["Allow"]) == (405, "GET")


def test_a_daemon_that_shuts_down_says_so(serve: Serve) -> None:
    """The engine refuses new jobs: 503, come back later."""
    begun, release = threading.Event(), threading.Event()

    def info(job: Job) -> None:
        begun.set()
        assert release.wait(10)

    api = serve({"info": info})
    busy = threading.Thread(target=api.message, args=("GET", "/info"))
    busy.start()
    assert begun.wait(10)
    shutdown = threading.Thread(target=api.engine.shutdown, args=(10.0,))  # waits for the job above
    shutdown.start()
    status = 200
    while status == 200:  # until the shutdown has begun
        status = api.ask("GET", "/_ping").status
    assert status == 503
    release.set()
    busy.join(10)
    shutdown.join(10)
    assert not busy.is_alive() and not shutdown.is_alive()


def test_the_line_header_is_the_first_line_of_output(serve: Serve) -> None:
    """`docker cp` reads the file's description from a header: a job writes it as its first line."""
    stat = {"name": "f", "size": 3}

    def copy(job: Job) -> None:
        line = json.dumps(stat).encode() + b"\n"
        job.stdout.write(line[:5])
        job.stdout.write(line[5:] + b"ta")
        job.stdout.write(b"r")

    def describe(job: Job) -> None:
        job.stdout.write(json.dumps(stat).encode() + b"\n")

    api = serve({"container_copy": copy, "container_stat": describe})
    for method, body in (("GET", b"tar"), ("HEAD", b"")):
        response = api.ask(method, "/containers/c/archive?path=/f")
        assert response.read() == body
        assert json.loads(base64.b64decode(response.headers["X-Docker-Container-Path-Stat"])) == stat


# streams


def test_a_stream_flows_while_its_job_runs(serve: Serve) -> None:
    """A follower sees each line when it is written, not when the job is done."""
    more = threading.Event()

    def events(job: Job) -> None:
        job.stdout.write(b"one\n")
        assert more.wait(10)
        job.stdout.write(b"two\n")

    response = serve({"events": events}).ask("GET", "/events")
    assert response.readline() == b"one\n"
    more.set()
    assert response.read() == b"two\n"


def test_a_flush_sends_the_head(serve: Serve) -> None:
    """`docker run` blocks on the head of `wait` before it starts the container: there is nothing to write yet."""
    exited = threading.Event()

    def wait(job: Job) -> None:
        job.stdout.flush()
        assert exited.wait(10)
        job.stdout.write(b'{"StatusCode":0}')

    response = serve({"wait": wait}).ask("POST", "/containers/c/wait")  # returns when the head is there
    assert (response.status, response.headers["Transfer-Encoding"]) == (200, "chunked")
    exited.set()
    assert response.read() == b'{"StatusCode":0}'


def test_a_stream_that_fails_before_its_first_byte_has_a_status(serve: Serve) -> None:
    """The close of a failed job's output must not be taken for its success."""
    api = serve({"logs": fails(errors.NotFound("No such container: c"))})
    assert api.message("GET", "/containers/c/logs") == (404, {"message": "No such container: c"})


def test_an_empty_stream_is_a_success(serve: Serve) -> None:
    """A container that printed nothing has empty logs, not none."""
    response = serve({"logs": lambda job: None}).ask("GET", "/containers/c/logs")
    assert (response.status, response.read()) == (200, b"")


def test_a_progress_stream_ends_with_its_error(serve: Serve) -> None:
    """After the first line the status is out: the failure is the last line, and the stream is whole."""

    def pull(job: Job) -> None:
        job.stdout.write(b'{"status":"Pulling"}\n')
        raise errors.CannotExecute("disk full", 9)

    response = serve({"pull": pull}).ask("POST", "/images/create?fromImage=x")
    assert response.status == 200
    first, last = map(json.loads, response.read().splitlines())
    assert first == {"status": "Pulling"}
    assert last == {"errorDetail": {"message": "disk full", "code": 9}, "error": "disk full"}


def test_another_stream_that_fails_is_cut_off(serve: Serve) -> None:
    """Half an archive must not look like a whole one: the last chunk is missing."""

    def export(job: Job) -> None:
        job.stdout.write(b"half")
        raise errors.MiniDockerError("disk full")

    api = serve({"export": export})
    with api.connect() as sock:
        sock.sendall(b"GET /containers/c/export HTTP/1.1\r\nHost: x\r\n\r\n")
        data = b"".join(iter(lambda: sock.recv(65536), b""))
    assert data.endswith(b"\r\n4\r\nhalf\r\n")


@pytest.mark.parametrize("target", ["/events", "/info"])
def test_a_client_that_hangs_up_cancels_its_job(serve: Serve, target: str) -> None:
    """`logs -f` of a quiet container would wait for ever for a client that is gone."""
    begun, cancelled = threading.Event(), threading.Event()

    def quiet(job: Job) -> None:
        with job.on_cancel(cancelled.set):
            job.stdout.flush()
            begun.set()
            assert cancelled.wait(10)
        job.check_cancelled()

    api = serve({"events": quiet, "info": quiet})
    with api.connect() as sock:
        sock.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert begun.wait(10)
    assert cancelled.wait(10)


# the raw connection

UPGRADE = b"Host: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"


def read_head(sock: socket.socket) -> bytes:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = sock.recv(1)
        assert byte, head
        head += byte
    return head


def test_attach_talks_both_ways_after_the_clients_half_close(serve: Serve) -> None:
    """The stock CLI ends its input at once when it has none: that is no hang-up, and output goes on."""
    end_seen = threading.Event()
    cancelled: list[bool] = []

    def attach(job: Job) -> None:
        job.stdout.flush()
        while data := job.stdin.read(100):
            job.stdout.write(data.upper())
        end_seen.set()
        job.stdout.write(b"still here")
        cancelled.append(job.cancelled)

    with serve({"attach": attach}).connect() as sock:
        sock.sendall(b"POST /containers/c/attach?stream=1 HTTP/1.1\r\n" + UPGRADE + b"\r\n")
        head = read_head(sock)
        assert head.startswith(b"HTTP/1.1 101 UPGRADED\r\n")
        assert b"\r\nContent-Type: application/vnd.docker.raw-stream\r\n" in head
        sock.sendall(b"abc")
        sock.shutdown(socket.SHUT_WR)
        assert end_seen.wait(10)
        assert b"".join(iter(lambda: sock.recv(100), b"")) == b"ABCstill here"
    assert cancelled == [False]


def test_an_attached_client_that_is_gone_cancels_its_job(serve: Serve) -> None:
    """A close of both directions is a hang-up of a raw connection as well."""
    cancelled = threading.Event()

    def attach(job: Job) -> None:
        with job.on_cancel(cancelled.set):
            job.stdout.flush()
            assert cancelled.wait(10)

    with serve({"attach": attach}).connect() as sock:
        sock.sendall(b"POST /containers/c/attach HTTP/1.1\r\n" + UPGRADE + b"\r\n")
        read_head(sock)
    assert cancelled.wait(10)


def test_the_first_data_keeps_its_distance_from_the_head(serve: Serve) -> None:
    """docker-py loses bytes that it reads together with the head: they come at least 3 ms later."""

    def exec_start(job: Job) -> None:
        job.stdout.write(b"data")

    api = serve({"exec_start": exec_start})
    body = b'{"Detach": false, "Tty": true}'
    for _ in range(5):
        with api.connect() as sock:
            length = b"Content-Length: %d\r\n\r\n" % len(body)
            sock.sendall(b"POST /exec/e/start HTTP/1.1\r\n" + UPGRADE + length + body)
            first = sock.recv(65536)
            came = time.monotonic()
            assert first.endswith(b"\r\n\r\n")
            assert sock.recv(65536) == b"data"
            assert time.monotonic() - came > 0.002


def test_the_body_of_a_hijacked_request_is_environment(serve: Serve) -> None:
    """Input is the connection, so exec start's options come as variables; detached, there is no conversation."""
    seen: list[Job] = []
    api = serve({"exec_start": seen.append})
    response = api.ask("POST", "/exec/e/start", b'{"Detach": true, "Tty": false, "Keys": "a", "ConsoleSize": [1, 2]}')
    assert (response.status, response.read()) == (200, b"")
    (job,) = seen
    assert job.env.get_bool("Detach") and not job.env.get_bool("Tty")
    assert job.env["Keys"] == "a" and job.env.get_json("ConsoleSize") == [1, 2]
    for body in (b"[1]", b"{", b"7"):
        assert api.ask("POST", "/exec/e/start", body).status == 400
    assert api.ask("POST", "/exec/e/start", b"x" * 100_000).status == 413


def test_a_hijack_that_fails_first_has_a_status(serve: Serve) -> None:
    """Before the switch is answered an error is an answer like any other."""
    api = serve({"attach": fails(errors.Conflict("paused"))})
    with api.connect() as sock:
        sock.sendall(b"POST /containers/c/attach HTTP/1.1\r\n" + UPGRADE + b"\r\n")
        data = b"".join(iter(lambda: sock.recv(65536), b""))
    assert data.startswith(b"HTTP/1.1 409 ") and data.endswith(b'{"message": "paused"}\n')


def test_a_reader_that_a_job_left_behind_cannot_hold_its_connection(serve: Serve) -> None:
    """A handler's input thread may still wait in a read when the process has exited: the end comes all the same."""
    left: list[threading.Thread] = []

    def attach(job: Job) -> None:
        job.stdout.flush()
        left.append(threading.Thread(target=job.stdin.read, args=(100,)))
        left[0].start()
        job.stdout.write(b"bye")

    with serve({"attach": attach}).connect() as sock:
        sock.sendall(b"POST /containers/c/attach HTTP/1.1\r\n" + UPGRADE + b"\r\n")
        read_head(sock)
        assert b"".join(iter(lambda: sock.recv(100), b"")) == b"bye"
        left[0].join(10)
        assert not left[0].is_alive()


# the tables


def test_every_kind_has_a_status() -> None:
    """A new kind in errors.py needs a line in the table, or it would silently be an internal error."""
    assert set(errors.ERRORS_BY_NAME.values()) <= set(STATUS_BY_KIND)


@given(text=st.text())
def test_an_errors_text_never_decides(text: str) -> None:
    """The same kind with other words has the same status; any words survive the way to the client."""
    assert status_of(errors.Conflict(text)) == 409
    assert status_of(RequestRefused(408, text)) == 408
    answer = error_answer(errors.Conflict(text))
    assert json.loads(answer.body)["message"] == (text or "Conflict")

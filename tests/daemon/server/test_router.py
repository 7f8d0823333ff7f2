"""The router: every request finds its one line in the table, or the reason why there is none."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mini_docker.daemon.server.router import MethodNotAllowed, PageNotFound, Router, strip_version
from mini_docker.daemon.server.routes import ROUTES, Kind
from mini_docker.errors import Invalid
from mini_docker.remote_api import API_VERSION, MIN_API_VERSION

ROUTER = Router(ROUTES)


@pytest.mark.parametrize(
    ("method", "path", "job", "args"),
    [
        ("HEAD", "/_ping", "ping", ()),
        ("GET", "/containers/json", "containers", ()),
        ("GET", "/containers/json/json", "container_inspect", ("json",)),
        ("POST", "/containers/c1/start", "start", ("c1",)),
        ("DELETE", "/containers/c1", "delete", ("c1",)),
        ("POST", "/exec/e1/start", "exec_start", ("e1",)),
        ("GET", "/images/json", "images", ()),
        ("GET", "/images/library/busybox:1/json", "image_inspect", ("library/busybox:1",)),
        ("GET", "/images/localhost:5000/a/b/get", "image_export", ("localhost:5000/a/b",)),
        ("DELETE", "/images/a/b", "image_delete", ("a/b",)),
        ("POST", "/images/h:5000/a/push", "push", ("h:5000/a",)),
        ("POST", "/networks/prune", "network_prune", ()),
        ("GET", "/networks/prune", "network_inspect", ("prune",)),
        ("GET", "/plugins/a/b/json", "plugin_inspect", ("a/b",)),
    ],
)
def test_paths_become_jobs_and_their_arguments(method: str, path: str, job: str, args: tuple[str, ...]) -> None:
    """Path parameters are the job's arguments; an image's name may hold slashes, a container's may not."""
    for prefix in ("", "/v1.41", f"/v{MIN_API_VERSION}"):
        match = ROUTER.match(method, prefix + path, {})
        assert (match.route.job, match.args) == (job, args)


def test_pull_and_import_are_told_apart_by_their_parameter() -> None:
    """One path, two jobs: the table says which parameter each requires, and without one there is no route."""
    assert ROUTER.match("POST", "/images/create", {"fromImage": ["x"]}).route.job == "pull"
    assert ROUTER.match("POST", "/images/create", {"fromSrc": ["-"]}).route.job == "import"
    with pytest.raises(PageNotFound):
        ROUTER.match("POST", "/images/create", {})


@pytest.mark.parametrize("path", ["/", "", "*", "/nothing", "/containers", "/containers//json", "/containers/a/b/json",
                                  "/v1.41", "/v1.41/", "/images//json", "//_ping"])  # fmt: skip
def test_unknown_pages(path: str) -> None:
    """Docker's words; scripts look for them."""
    with pytest.raises(PageNotFound, match=r"^page not found$"):
        ROUTER.match("GET", path, {})


def test_a_known_path_with_another_method() -> None:
    """It is not the path that is wrong: 405, with what would be right."""
    with pytest.raises(MethodNotAllowed) as caught:
        ROUTER.match("PATCH", "/containers/c1/archive", {})
    assert caught.value.allowed == ("GET", "HEAD", "PUT")


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("/v1.11/info", "client version 1.11 is too old. Minimum supported API version is 1.12, "
                        "please upgrade your client to a newer version"),
        ("/v0.9/info", "client version 0.9 is too old."),
        ("/v1.42/info", "client version 1.42 is too new. Maximum supported API version is 1.41"),
        ("/v2.0/_ping", "client version 2.0 is too new."),
    ],
)  # fmt: skip
def test_versions_out_of_range_are_said_in_dockers_words(path: str, sentence: str) -> None:
    """Clients negotiate by these sentences."""
    with pytest.raises(Invalid) as caught:
        ROUTER.match("GET", path, {})
    assert str(caught.value).startswith(sentence)


@given(minor=st.integers(0, 9999))
def test_versions_are_compared_as_numbers(minor: int) -> None:
    """1.9 is older than 1.12: versions are numbers, not texts and not fractions."""
    low, high = (int(version.partition(".")[2]) for version in (MIN_API_VERSION, API_VERSION))
    if low <= minor <= high:
        assert strip_version(f"/v1.{minor}/info") == "/info"
    else:
        with pytest.raises(Invalid):
            strip_version(f"/v1.{minor}/info")


@given(method=st.sampled_from(["GET", "POST", "HEAD", "DELETE", "BREW"]), path=st.text(max_size=60))
def test_any_path_has_one_of_three_answers(method: str, path: str) -> None:
    """Whatever the path, the router finds a route or raises one of its own kinds."""
    try:
        match = ROUTER.match(method, path, {})
    except (PageNotFound, MethodNotAllowed, Invalid):
        return
    assert match.route in ROUTES


def test_the_table_is_unambiguous() -> None:
    """No line stands twice; what a line says of its answer fits together."""
    keys = Counter((route.method, route.pattern, route.requires) for route in ROUTES)
    assert [key for key, count in keys.items() if count > 1] == []
    for route in ROUTES:
        assert route.status in (200, 201, 204)
        assert route.status != 204 or route.kind is Kind.DOCUMENT
        assert route.pattern.startswith("/")


def test_the_operations_of_the_scope_have_their_routes() -> None:
    """The families of API 1.41 that are in scope, by count; attach/ws (a WebSocket) is the one left out."""
    families = Counter(route.pattern.split("/")[1] for route in ROUTES)
    exec_create = 1  # stands under /containers
    narrated = 1  # the narrated start, which is ours
    assert families["containers"] - exec_create - narrated == 25 - 1
    assert families["exec"] + exec_create == 4
    assert families["networks"] == 7
    assert families["volumes"] == 5
    # pull and import are one operation of the API, so are the two exports two
    pictures = 2  # /images/viz, which later versions dropped, and /images/tree, which is ours
    assert families["images"] - pictures + families["commit"] + families["build"] == 15 + 1

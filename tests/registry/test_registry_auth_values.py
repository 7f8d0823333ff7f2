"""Credentials, challenges and endpoints: the pure half of talking to a registry."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mini_docker.errors import Invalid, MiniDockerError, NotFound, Unauthorized, Unavailable
from mini_docker.registry.challenge import Challenge, parse_challenges
from mini_docker.registry.credentials import Credentials
from mini_docker.registry.endpoints import Endpoint, RegistryConfig, check_mirror, domain_of
from mini_docker.registry.errors import for_pull, refusal
from mini_docker.registry.patience import RetryPolicy
from mini_docker.registry.reference import Reference


def encoded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


def test_credentials_are_read_from_the_header() -> None:
    """All forms that clients send: none, empty, password, token, the old ``auth``; with and without padding."""
    assert Credentials.decode("").anonymous
    assert Credentials.decode("e30=").anonymous
    full = Credentials.decode(encoded({"username": "ann", "password": "?>?>", "serveraddress": "r.io"}).rstrip("="))
    assert (full.username, full.password, full.server_address) == ("ann", "?>?>", "r.io")
    assert Credentials.decode(encoded({"identitytoken": "t"})).identity_token == "t"
    assert Credentials.decode(encoded({"auth": encoded_pair("ann", "a:b")})).password == "a:b"


def encoded_pair(name: str, password: str) -> str:
    return base64.b64encode(f"{name}:{password}".encode()).decode()


@pytest.mark.parametrize("header", ["!", "bm8=", encoded([]), encoded({"username": 1})])
def test_malformed_credentials_are_refused(header: str) -> None:
    """A header that cannot be read is an error, not an anonymous pull that fails in a puzzling way."""
    with pytest.raises(Invalid, match="X-Registry-Auth"):
        Credentials.decode(header)


def test_secrets_are_not_shown() -> None:
    """Law: no secret in repr, for values end up in logs and tracebacks."""
    assert "hunter2" not in repr(Credentials("ann", "hunter2", "hunter2", "hunter2"))


@pytest.mark.parametrize(
    ("headers", "challenges"),
    [
        (['Bearer realm="https://a/t",service="s",scope="repository:x:pull,push"'],
         [Challenge("bearer", {"realm": "https://a/t", "service": "s", "scope": "repository:x:pull,push"})]),
        (['Basic realm="a, b"', "Bearer realm=x"],
         [Challenge("basic", {"realm": "a, b"}), Challenge("bearer", {"realm": "x"})]),
        (['Negotiate, Basic realm="q\\"q" , BEARER Realm = "r", service=s'],
         [Challenge("negotiate"), Challenge("basic", {"realm": 'q"q'}),
          Challenge("bearer", {"realm": "r", "service": "s"})]),
        ([""], []),
    ],
)  # fmt: skip
def test_challenges(headers: list[str], challenges: list[Challenge]) -> None:
    """RFC 9110's grammar: several in one header, quoted commas, escaped quotes, any case."""
    assert parse_challenges(headers) == challenges


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet='Bearrealm="\\, é=', max_size=40))
def test_no_header_breaks_the_parser(header: str) -> None:
    """Law: any text gives a list; a hostile server cannot make it raise or hang."""
    assert isinstance(parse_challenges([header]), list)


def config(**values: object) -> RegistryConfig:
    addresses = {"localhost": ["127.0.0.1"], "lan.example": ["10.1.2.3"], "127.0.0.1": ["127.0.0.1"]}
    return RegistryConfig(resolve=lambda name: addresses.get(name, ["203.0.113.5"]), **values)  # type: ignore[arg-type]


def urls(endpoints: tuple[Endpoint, ...]) -> list[str]:
    return [endpoint.url for endpoint in endpoints]


def test_mirrors_come_first_and_only_for_docker_hub() -> None:
    """A mirror copies Docker Hub; it must never be asked for another registry's images, nor be pushed to."""
    c = config(mirrors=("https://mirror.example",))
    assert urls(c.for_pull("docker.io")) == ["https://mirror.example", "https://registry-1.docker.io"]
    assert urls(c.for_pull("r.example")) == ["https://r.example"]
    assert urls(c.for_push("docker.io")) == ["https://registry-1.docker.io"]


def test_insecure_registries_get_unverified_tls_then_plain_http() -> None:
    """By host, by network, and loopback always, as Docker; others are verified and never spoken to in the clear."""
    c = config(insecure=("r.example:5000", "10.0.0.0/8"))
    for host in ("r.example:5000", "lan.example", "localhost:5000", "127.0.0.1:5000"):
        first, second = c.for_pull(host)
        assert (first.url, first.verify, second.url) == (f"https://{host}", False, f"http://{host}")
    assert [(e.url, e.verify) for e in c.for_pull("r.example")] == [("https://r.example", True)]


@pytest.mark.parametrize("url", ["mirror", "ftp://m", "https://m/path", "https://m?q", "https://u:p@m", "https://"])
def test_bad_mirrors_are_refused(url: str) -> None:
    """A mirror is a bare address; a mistake in the flag is told when the daemon starts."""
    with pytest.raises(Invalid, match="invalid mirror"):
        check_mirror(url)
    with pytest.raises(Invalid):
        RegistryConfig(mirrors=(url,))


def test_certs_folder_mistakes_are_named(tmp_path: Path) -> None:
    """A client certificate without its key is a mistake that Docker names; so do we."""
    (tmp_path / "client.cert").write_text("x")
    with pytest.raises(Invalid, match=r"missing key client.key for client certificate client.cert\. Note that CA"):
        Endpoint("https://r", certs=tmp_path).tls()
    (tmp_path / "client.cert").unlink()
    (tmp_path / "ca.crt").write_text("no certificate")
    with pytest.raises(Invalid, match=r"ca\.crt"):
        Endpoint("https://r", certs=tmp_path).tls()


@pytest.mark.parametrize(
    ("address", "domain"),
    [("", "docker.io"), ("https://index.docker.io/v1/", "docker.io"), ("r.example:5000", "r.example:5000"),
     ("https://r.example/v2/", "r.example"), ("docker.io", "docker.io")],
)  # fmt: skip
def test_login_addresses(address: str, domain: str) -> None:
    """Clients send Docker Hub's old index address; people write a host or a URL."""
    assert domain_of(address) == domain


REFERENCE = Reference.parse("me/app:1")


@pytest.mark.parametrize(
    ("status", "body", "kind", "text"),
    [
        (404, {"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}, NotFound,
         "manifest for me/app:1 not found: manifest unknown: manifest unknown"),
        (401, {"code": "DENIED", "message": "requested access to the resource is denied"}, NotFound,
         "pull access denied for me/app, repository does not exist or may require 'docker login': "
         "denied: requested access to the resource is denied"),
        (404, {"code": "NAME_UNKNOWN", "message": "repository name not known to registry"}, NotFound,
         "repository me/app not found: name unknown: repository name not known to registry"),
        (401, {"code": "UNAUTHORIZED", "message": "authentication required"}, Unauthorized,
         "unauthorized: authentication required"),
        (429, {"code": "TOOMANYREQUESTS", "message": "slow down"}, Unavailable, "toomanyrequests: slow down"),
    ],
)  # fmt: skip
def test_refusals_in_dockers_words(status: int, body: dict[str, str], kind: type[MiniDockerError], text: str) -> None:
    """The registry's code decides the kind; the sentence is the one that Docker prints."""
    error = for_pull(refusal(status, json.dumps({"errors": [body]}).encode(), "GET x"), REFERENCE)
    assert (type(error), str(error)) == (kind, text)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from([400, 401, 403, 404, 418, 429, 500, 503]), st.binary(max_size=30))
def test_any_answer_becomes_an_error_with_a_sentence(status: int, body: bytes) -> None:
    """Law: HTML pages, empty bodies and garbage become an error that says something."""
    error = for_pull(refusal(status, body, "GET http://r/v2/"), REFERENCE)
    assert isinstance(error, MiniDockerError)
    assert str(error)


def test_pauses_grow_and_stay_bounded() -> None:
    """Backoff doubles up to its limit, and never by more than the jitter below it."""
    policy = RetryPolicy(first=1.0, longest=5.0)
    for failures, most in [(1, 1.0), (2, 2.0), (3, 4.0), (4, 5.0), (20, 5.0)]:
        assert 0.75 * most <= policy.pause(failures) <= most

"""Sessions with registries that ask who is there: the token dance, basic auth, TLS with own authorities."""

from __future__ import annotations

import base64
import json
import re
import shutil
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from mini_docker.errors import MiniDockerError, NotFound, Unauthorized, Unavailable
from mini_docker.registry.credentials import Credentials
from mini_docker.registry.endpoints import RegistryConfig
from mini_docker.registry.platform import Platform
from mini_docker.registry.reference import Reference
from mini_docker.registry.service import RegistryService
from tests.authority import make_authority
from tests.registry.image_fixture import ImageFixture, make_image
from tests.registry.pull_bench import HASTY
from tests.registry.tiny_registry import TinyRegistry, serving

ANN = Credentials("ann", "secret")
AMD64 = Platform("linux", "amd64")


@pytest.fixture
def registry() -> Iterator[TinyRegistry]:
    with serving(TinyRegistry(auth="bearer")) as tiny:
        yield tiny


@pytest.fixture
def image(registry: TinyRegistry) -> ImageFixture:
    made = make_image({"a": b"1"})
    registry.add("me/app", "1", made)
    return made


@pytest.fixture
def service() -> RegistryService:
    return RegistryService(retries=HASTY)


def fetch(
    service: RegistryService, registry: TinyRegistry, who: Credentials | None = None, path: str = "me/app"
) -> str:
    reference = Reference.parse(f"{registry.host}/{path}:1")
    return service.session(reference, who).fetch_image(AMD64).digest


def test_an_anonymous_ticket_is_fetched_once_and_used_again(
    service: RegistryService, registry: TinyRegistry, image: ImageFixture
) -> None:
    """Docker Hub gives tickets to strangers, too; one is good for all requests until it ends."""
    assert fetch(service, registry) == fetch(service, registry) == image.digest
    (asked,) = registry.requests("/token")
    assert asked.query == {"service": ["tiny"], "scope": ["repository:me/app:pull"]}
    assert "authorization" not in asked.headers


def test_a_password_goes_to_the_token_server_and_never_to_the_registry(
    service: RegistryService, registry: TinyRegistry, image: ImageFixture
) -> None:
    """The point of the dance: the registry sees tickets only."""
    registry.public = False
    fetch(service, registry, ANN)
    assert registry.requests("/token")[0].headers["authorization"].startswith("Basic ")
    assert registry.requests("/token")[0].query["account"] == ["ann"]
    assert not [seen for seen in registry.requests("/v2/") if "Basic" in seen.headers.get("authorization", "")]


def test_callers_do_not_share_tickets(service: RegistryService, registry: TinyRegistry, image: ImageFixture) -> None:
    """Law: a ticket belongs to credentials; a stranger never uses ann's."""
    registry.public = False
    fetch(service, registry, ANN)
    sentence = (
        f"pull access denied for {registry.host}/me/app, repository does not exist or may require 'docker login': "
        "denied: requested access to the resource is denied"
    )
    with pytest.raises(NotFound, match=re.escape(sentence)):
        fetch(service, registry)


def test_a_ticket_that_ended_early_is_replaced(
    service: RegistryService, registry: TinyRegistry, image: ImageFixture
) -> None:
    """The registry's clock has the last word: a refused ticket is thrown away and a new one asked for, once."""
    fetch(service, registry)
    registry.valid_tokens.clear()
    fetch(service, registry)
    assert len(registry.requests("/token")) == 2


def test_tickets_are_renewed_before_they_end(
    service: RegistryService, registry: TinyRegistry, image: ImageFixture
) -> None:
    """Ours ends a little earlier than the registry's, so that it survives the request."""
    now = [1000.0]
    service.tokens.clock = lambda: now[0]
    fetch(service, registry)
    now[0] += 290
    fetch(service, registry)
    assert len(registry.requests("/token")) == 1
    now[0] += 6
    fetch(service, registry)
    assert len(registry.requests("/token")) == 2


def test_a_wrong_password_is_told(service: RegistryService, registry: TinyRegistry, image: ImageFixture) -> None:
    """The token server's own words reach the user."""
    with pytest.raises(Unauthorized, match="incorrect username or password"):
        fetch(service, registry, Credentials("ann", "wrong"))


def test_an_identity_token_is_traded_in(service: RegistryService, registry: TinyRegistry, image: ImageFixture) -> None:
    """What a login kept instead of the password goes by POST, out of the access logs."""
    registry.public = False
    fetch(service, registry, Credentials(identity_token="identity"))
    (asked,) = registry.requests("/token")
    assert asked.method == "POST"
    assert b"grant_type=refresh_token" in asked.body


def test_a_registry_token_is_used_as_it_is(
    service: RegistryService, registry: TinyRegistry, image: ImageFixture
) -> None:
    """Who brings a ticket needs no token server."""
    registry.valid_tokens["mine"] = "repository:me/app:pull"
    fetch(service, registry, Credentials(registry_token="mine"))
    assert registry.requests("/token") == []


def test_basic_auth(service: RegistryService, registry: TinyRegistry, image: ImageFixture) -> None:
    """Small registries ask for name and password directly."""
    registry.auth = "basic"
    assert fetch(service, registry, ANN) == image.digest
    with pytest.raises(Unauthorized, match=r'Get "http://.*/v2/": no basic auth credentials'):
        fetch(RegistryService(retries=HASTY), registry)
    with pytest.raises(Unauthorized, match="unauthorized: authentication required"):
        fetch(RegistryService(retries=HASTY), registry, Credentials("ann", "wrong"))


def test_a_token_server_elsewhere_does_not_get_the_ticket_of_the_registry(
    service: RegistryService, registry: TinyRegistry, image: ImageFixture
) -> None:
    """Realm and registry are mostly two hosts; both are asked in turn."""
    with serving(TinyRegistry()) as tokens:
        tokens.valid_tokens = registry.valid_tokens
        registry.realm = tokens.url
        assert fetch(service, registry) == image.digest
        assert registry.requests("/token") == []


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"token": 5}', b'{"token": "a b"}', b'{"token": "a\\r\\nX: y"}'])
def test_a_token_server_that_answers_nonsense_is_an_error(
    service: RegistryService, registry: TinyRegistry, image: ImageFixture, body: bytes
) -> None:
    """A token goes into a header: one with a line break in it would be two headers."""
    with serving(TinyRegistry()) as tokens:
        tokens.answer = lambda seen: (200, {}, body)  # type: ignore[method-assign]
        registry.realm = tokens.url
        with pytest.raises(Unauthorized, match="authorization server"):
            fetch(service, registry)


# ------------------------------------------------------------------ proxies


@pytest.mark.parametrize("bypass", [False, True])
def test_the_environments_proxy_is_used_but_not_for_loopback(
    registry: TinyRegistry, image: ImageFixture, monkeypatch: pytest.MonkeyPatch, bypass: bool
) -> None:
    """Where the way out leads through a proxy the daemon takes it; its own machine it reaches by itself."""
    registry.auth = "none"
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, registry.url if not bypass else "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    host = registry.host if bypass else "registry.invalid:80"
    service = RegistryService(RegistryConfig(insecure=("registry.invalid:80",)), HASTY)
    fetched = service.session(Reference.parse(f"{host}/me/app:1")).fetch_image(AMD64)
    assert fetched.digest == image.digest
    assert registry.requests("manifests")[0].headers["host"] == host


# ------------------------------------------------------------------ TLS


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_authority(tmp_path_factory.mktemp("authority"))


def server_context(authority: Path, ask_client: bool = False) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority / "server.pem", authority / "server.key")
    if ask_client:
        context.load_verify_locations(authority / "ca.pem")
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def strict(certs: Path) -> RegistryService:
    """A service for which loopback is not insecure: it looks addresses up in a book that lacks it."""
    return RegistryService(RegistryConfig(certs_folder=certs, resolve=lambda host: ["203.0.113.1"]), HASTY)


def test_tls_is_verified_with_the_hosts_own_authority(authority: Path, tmp_path: Path) -> None:
    """certs.d/<host:port>/ca.crt makes a private registry trusted; without it nothing is fetched."""
    made = make_image({"a": b"1"})
    with serving(TinyRegistry(), server_context(authority)) as registry:
        registry.add("me/app", "1", made)
        with pytest.raises(Unavailable, match="x509: certificate"):
            fetch(strict(tmp_path), registry)
        folder = tmp_path / registry.host
        folder.mkdir()
        shutil.copy(authority / "ca.pem", folder / "ca.crt")
        assert fetch(strict(tmp_path), registry) == made.digest


def test_client_certificates_are_shown(authority: Path, tmp_path: Path) -> None:
    """A registry may let in only whom its authority knows."""
    made = make_image({"a": b"1"})
    with serving(TinyRegistry(), server_context(authority, ask_client=True)) as registry:
        registry.add("me/app", "1", made)
        folder = tmp_path / registry.host
        folder.mkdir()
        shutil.copy(authority / "ca.pem", folder / "ca.crt")
        with pytest.raises(MiniDockerError):
            fetch(strict(tmp_path), registry)
        shutil.copy(authority / "client.pem", folder / "client.cert")
        shutil.copy(authority / "client.key", folder / "client.key")
        assert fetch(strict(tmp_path), registry) == made.digest


def test_an_insecure_registry_may_have_a_certificate_that_nobody_signed(authority: Path) -> None:
    """Loopback is insecure by default: its TLS is used, and not verified."""
    made = make_image({"a": b"1"})
    with serving(TinyRegistry(), server_context(authority)) as registry:
        registry.add("me/app", "1", made)
        assert fetch(RegistryService(retries=HASTY), registry) == made.digest


def test_a_secure_registry_is_never_spoken_to_in_the_clear(registry: TinyRegistry, image: ImageFixture) -> None:
    """Law: whoever is not marked insecure gets TLS or nothing, or an attacker could strip it."""
    with pytest.raises(Unavailable, match="http: server gave HTTP response to HTTPS client"):
        fetch(strict(Path("/nonexistent")), registry)
    assert registry.seen == []


def test_header_of_the_remote_api_reaches_the_session() -> None:
    """What the client sends is what the session uses."""
    header = base64.urlsafe_b64encode(json.dumps({"username": "ann", "password": "secret"}).encode()).decode()
    assert Credentials.decode(header) == ANN

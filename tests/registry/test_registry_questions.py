"""The jobs that only ask: login, search, what a registry has under a name."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mini_docker import media_types
from mini_docker.daemon.jobs.registries import Auth, DistributionInspect, Search
from mini_docker.engine import Engine
from mini_docker.errors import Invalid, MiniDockerError, Unauthorized, Unavailable
from mini_docker.registry.endpoints import RegistryConfig
from mini_docker.registry.service import RegistryService
from tests.registry.debian_registry import debian_registry, fill
from tests.registry.image_fixture import make_image
from tests.registry.pull_bench import HASTY
from tests.registry.tiny_registry import TinyRegistry, serving


@pytest.fixture
def registry() -> Iterator[TinyRegistry]:
    with serving(TinyRegistry()) as tiny:
        yield tiny


def ask(name: str, *args: str, config: RegistryConfig | None = None, body: object = None, **env: str) -> Any:
    service = RegistryService(config, HASTY)
    engine = Engine()
    for word, handler in (("auth", Auth), ("search", Search), ("distribution_inspect", DistributionInspect)):
        engine.register(word, handler(service))
    job = engine.job(name, *args)
    if body is not None:
        job.stdin.set(io.BytesIO(json.dumps(body).encode()))
    for key, value in env.items():
        job.env[key] = value
    return json.loads(job.output())


def ann(registry: TinyRegistry, password: str = "secret") -> dict[str, str]:
    return {"username": "ann", "password": password, "serveraddress": registry.host}


@pytest.mark.parametrize(("auth", "identity"), [("basic", ""), ("bearer", "identity"), ("none", "")])
def test_login_succeeds(registry: TinyRegistry, auth: str, identity: str) -> None:
    """Docker's answer, to the letter; a token server also gives what the client keeps instead of the password."""
    registry.auth = auth
    assert ask("auth", body=ann(registry)) == {"IdentityToken": identity, "Status": "Login Succeeded"}


@pytest.mark.parametrize(
    ("auth", "sentence"),
    [
        ("basic", "login attempt to {url}/v2/ failed with status: 401 Unauthorized"),
        ("bearer", 'Get "{url}/v2/": unauthorized: incorrect username or password'),
    ],
)
def test_login_with_a_wrong_password_fails(registry: TinyRegistry, auth: str, sentence: str) -> None:
    """In Docker's words, which name the address: users have several registries."""
    registry.auth = auth
    with pytest.raises(Unauthorized) as caught:
        ask("auth", body=ann(registry, "wrong"))
    assert str(caught.value) == sentence.format(url=registry.url)


def test_login_where_nobody_is() -> None:
    """No registry there is not the same as a wrong password."""
    with pytest.raises(Unavailable, match="connection refused"):
        ask("auth", body={"username": "a", "password": "b", "serveraddress": "127.0.0.1:1"})


RESULTS = [
    {"name": "busybox", "description": "b", "star_count": 3000, "is_official": True, "is_automated": False},
    {"name": "me/busybox", "description": None, "star_count": 1},
]


def test_search_of_docker_hub(registry: TinyRegistry) -> None:
    """The old API's answer is passed on, in whole objects, filtered."""
    registry.answer = lambda seen: (200, {}, json.dumps({"results": RESULTS}).encode())  # type: ignore[method-assign]
    config = RegistryConfig(hub_index=registry.url)
    found = ask("search", config=config, term="busybox")
    assert found[0] == RESULTS[0]
    assert found[1] == {
        "name": "me/busybox", "description": "", "star_count": 1, "is_official": False, "is_automated": False,
    }  # fmt: skip
    assert registry.seen[0].query == {"q": ["busybox"], "n": ["25"]}
    for filters in ({"is-official": ["true"]}, {"stars": {"5": True}}):
        assert len(ask("search", config=config, term="busybox", filters=json.dumps(filters))) == 1


@pytest.mark.parametrize(
    ("env", "kind"),
    [({"term": "http://x"}, Invalid), ({"term": "x", "limit": "101"}, Invalid),
     ({"term": "x", "filters": '{"no":["1"]}'}, Invalid)],
)  # fmt: skip
def test_bad_searches_are_refused(env: dict[str, str], kind: type[MiniDockerError]) -> None:
    """Before anybody is asked."""
    with pytest.raises(kind):
        ask("search", **env)


def test_search_of_a_registry_without_search(tmp_path: Path) -> None:
    """A present-day registry is searched through its catalog."""
    with debian_registry(tmp_path) as host:
        for name in ("me/box", "you/busybox", "other"):
            fill(host, name, "1", make_image({"a": b""}))
        assert [result["name"] for result in ask("search", term=f"{host}/box")] == ["me/box", "you/busybox"]


def test_distribution_inspect(registry: TinyRegistry) -> None:
    """What ``docker manifest inspect`` and compose ask: the descriptor, and for which machines it is."""
    made = make_image({"a": b""})
    registry.add("me/app", "1", made)
    assert ask("distribution_inspect", f"{registry.host}/me/app:1") == {
        "Descriptor": {"mediaType": media_types.DOCKER_MANIFEST, "digest": made.digest, "size": len(made.manifest)},
        "Platforms": [{"architecture": "amd64", "os": "linux"}],
    }
    entry = {"mediaType": made.media_type, "digest": made.digest, "size": 1,
             "platform": {"os": "linux", "architecture": "arm", "variant": "v6"}}  # fmt: skip
    registry.add_index("me/app", "latest", media_types.OCI_INDEX, json.dumps({"manifests": [entry]}).encode())
    answer = ask("distribution_inspect", f"{registry.host}/me/app")
    assert answer["Platforms"] == [{"architecture": "arm", "os": "linux", "variant": "v6"}]

"""Who may do what at our registry; and the garbage collection."""

from __future__ import annotations

import base64
import io
import json
import os
import re
from pathlib import Path
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mini_docker.errors import Denied, Invalid, Unauthorized
from mini_docker.registry.credentials import Credentials
from mini_docker.registry.reference import Reference
from mini_docker.registry.server.access import BasicAccess, TokenAccess
from mini_docker.registry.server.garbage import collect
from mini_docker.registry.server.passwords import Passwords, new_line
from mini_docker.registry.server.tickets import Ticket, TicketOffice
from tests.registry.image_fixture import digest, make_image
from tests.registry.pull_bench import PullBench
from tests.registry.server.own_registry import own_registry

BASIC = {"Authorization": "Basic " + base64.b64encode(b"ann:secret").decode()}


@pytest.fixture(scope="module")
def passwords() -> Passwords:
    return Passwords({"ann": Passwords({}).hash("secret", "$2b$04$abcdefghijklmnopqrstuu")})


def test_passwords(passwords: Passwords, tmp_path: Path) -> None:
    """Only the right one, of a known user; htpasswd's own prefix is understood."""
    assert passwords.verify("ann", "secret")
    for user, password in (("ann", "wrong"), ("ann", ""), ("bob", "secret"), ("", ""), ("ann", "secret\0x")):
        assert not passwords.verify(user, password)
    file = tmp_path / "users"
    hashed = passwords.hash("secret", "$2b$04$abcdefghijklmnopqrstuu").replace("$2b$", "$2y$")
    file.write_text(f"# users\n\nann:{hashed}\n")
    assert Passwords.read(file).verify("ann", "secret")
    file.write_text("ann:plain\n")
    with pytest.raises(Invalid, match="line 1"):
        Passwords.read(file)


def test_who_mounts_must_be_allowed_to_read_there(passwords: Passwords, tmp_path: Path) -> None:
    """Law: a ticket to push here and a digest are not enough to get at another repository's blob."""
    office = TicketOffice(b"k" * 32)
    with own_registry(tmp_path, TokenAccess(passwords, office, anonymous_pull=False)) as registry:

        def bearer(*scopes: str) -> dict[str, str]:
            return {"Authorization": f"Bearer {office.write(Ticket('ann', scopes))[0]}"}

        path, data = "/v2/{}/blobs/uploads/", b"secret"
        theirs = bearer("repository:theirs:push")
        assert registry.ask("POST", path.format("theirs"), data, theirs, digest=digest(data)).status == 201
        mount = {"mount": digest(data), "from": "theirs"}
        refused = registry.ask("POST", path.format("mine"), headers=bearer("repository:mine:push"), **mount)
        assert refused.status == 401
        assert 'scope="repository:mine:push repository:theirs:pull"' in refused.headers["WWW-Authenticate"]
        both = bearer("repository:mine:pull,push", "repository:theirs:pull")
        assert registry.ask("POST", path.format("mine"), headers=both, **mount).status == 201


def line(user: str, password: str) -> str:
    """A line of an htpasswd file, at bcrypt's lowest cost."""
    return f"{user}:{Passwords({}).hash(password, '$2b$04$abcdefghijklmnopqrstuu')}\n"


def test_the_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    """A new user may come in at once, a removed one no more; a broken file changes nobody's rights."""
    file = tmp_path / "users"
    file.write_text(line("ann", "secret"))
    users = Passwords.read(file)
    assert users.verify("ann", "secret") and not users.verify("bob", "word")
    file.write_text(line("ann", "other") + line("bob", "word"))
    assert users.verify("bob", "word") and users.verify("ann", "other") and not users.verify("ann", "secret")
    file.write_text("nonsense\n")
    assert users.verify("bob", "word")
    file.write_text("")
    assert not users.verify("bob", "word")


def test_a_password_that_was_right_is_remembered(passwords: Passwords, monkeypatch: pytest.MonkeyPatch) -> None:
    """Basic auth sends it with each request: crypt is asked once. What was wrong is never remembered."""
    users = Passwords({"ann": passwords.hash_of("ann")})
    asked: list[str] = []
    crypt = users.hash
    monkeypatch.setattr(users, "hash", lambda password, setting: asked.append(password) or crypt(password, setting))
    assert [users.verify("ann", word) for word in ("secret", "secret", "wrong", "wrong", "secret")] == [
        True, True, False, False, True,
    ]  # fmt: skip
    assert asked == ["secret", "wrong", "wrong"]


def test_a_new_line_lets_its_user_in(tmp_path: Path) -> None:
    """What `mini-docker registry htpasswd` prints is a user; what no line can hold is refused."""
    (tmp_path / "users").write_text(new_line("ann", "secret") + "\n")
    assert Passwords.read(tmp_path / "users").verify("ann", "secret")
    for user, password in (("", "x"), ("a:b", "x"), ("a\nb", "x"), ("ann", ""), ("ann", "a\0b")):
        with pytest.raises(Invalid):
            new_line(user, password)


def test_basic(passwords: Passwords, tmp_path: Path) -> None:
    """Without the password 401 and a challenge; with it everything."""
    with own_registry(tmp_path, BasicAccess(passwords)) as registry:
        refused = registry.ask("GET", "/v2/")
        assert (refused.status, refused.headers["WWW-Authenticate"]) == (401, 'Basic realm="mini-docker registry"')
        assert registry.ask("GET", "/v2/", headers=BASIC).status == 200
        assert registry.ask("GET", "/v2/", headers={"Authorization": "Basic !"}).status == 401


def test_the_token_dance_by_hand(passwords: Passwords, tmp_path: Path) -> None:
    """Challenge, ticket office, ticket: as Docker Hub does it, step by step."""
    access = TokenAccess(passwords, TicketOffice(b"k" * 32), anonymous_pull=True)
    with own_registry(tmp_path, access) as registry:
        path = "/v2/me/app/blobs/uploads/"
        challenge = registry.ask("POST", path).headers["WWW-Authenticate"]
        found = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
        assert found["scope"] == "repository:me/app:push"
        assert found["realm"] == f"http://{registry.host}/token"

        def token(headers: dict[str, str], scope: str) -> dict[str, str]:
            answer = registry.ask("GET", "/token", headers=headers, service=found["service"], scope=scope)
            value = json.loads(answer.body)
            return {"Authorization": f"Bearer {value['token']}"}

        stranger = token({}, "repository:me/app:pull,push")
        refused = registry.ask("POST", path, headers=stranger)
        assert refused.status == 401
        assert 'error="insufficient_scope"' in refused.headers["WWW-Authenticate"]
        assert registry.ask("GET", "/v2/me/app/tags/list", headers=stranger).status == 404  # let in; nothing there
        ann = token(BASIC, "repository:me/app:pull,push")
        assert registry.ask("POST", path, headers=ann).status == 202
        assert registry.ask("POST", "/v2/you/app/blobs/uploads/", headers=ann).status == 401
        wrong = {"Authorization": "Basic " + base64.b64encode(b"ann:wrong").decode()}
        assert registry.ask("GET", "/token", headers=wrong).status == 401


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="abc.=_-é", max_size=30), st.integers(0, 200))
def test_forged_tickets_are_refused(text: str, at: int) -> None:
    """Law: only what the office wrote is read; one changed character, and it is nothing."""
    office = TicketOffice(b"k" * 32)
    assert office.read(text) is None
    written, _ = office.write(Ticket("ann", ("repository:a:pull",)))
    at %= len(written) - 2  # the last characters hold bits that base64 ignores
    forged = written[:at] + ("A" if written[at] != "A" else "B") + written[at + 1 :]
    assert office.read(forged) is None
    assert TicketOffice(b"x" * 32).read(written) is None
    assert office.bearer_of(written) == ("", "")  # an access ticket is no refresh token, nor the other way round
    assert office.read(office.refresh_token("ann", "stamp")) is None


def test_tickets_as_oauth2_has_them(tmp_path: Path) -> None:
    """By POST: for a password, and for a refresh token, until the password changes or the user is gone."""
    file = tmp_path / "users"
    file.write_text(line("ann", "secret"))
    access = TokenAccess(Passwords.read(file), TicketOffice(b"k" * 32), anonymous_pull=False)
    with own_registry(tmp_path / "registry", access) as registry:

        def demand(**form: str) -> tuple[int, dict[str, str]]:
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            answer = registry.ask("POST", "/token", urlencode({"scope": "repository:a:push", **form}).encode(), headers)
            return answer.status, json.loads(answer.body)

        password = {"grant_type": "password", "username": "ann", "access_type": "offline"}
        status, given = demand(password="secret", **password)
        assert status == 200
        bearer = {"Authorization": f"Bearer {given['access_token']}"}
        assert registry.ask("POST", "/v2/a/blobs/uploads/", headers=bearer).status == 202
        assert demand(password="wrong", **password)[0] == 401
        refresh = {"grant_type": "refresh_token", "refresh_token": given["refresh_token"]}
        assert demand(**refresh)[0] == 200
        file.write_text(line("ann", "other"))
        assert demand(**refresh)[0] == 401
        _, given = demand(password="other", **password)
        file.write_text("")
        assert demand(grant_type="refresh_token", refresh_token=given["refresh_token"])[0] == 401
        assert demand(grant_type="refresh_token", refresh_token="")[0] == 401


def test_tickets_end() -> None:
    """After their time they are paper."""
    now = [0.0]
    office = TicketOffice(b"k" * 32, lambda: now[0])
    written, seconds = office.write(Ticket("ann", ()))
    now[0] = seconds - 1.0
    assert office.read(written) == Ticket("ann", ())
    now[0] = seconds + 1.0
    assert office.read(written) is None


def test_the_key_outlives_a_restart_and_is_private(tmp_path: Path) -> None:
    """Tickets stay good over a restart; nobody else may read what signs them."""
    path = tmp_path / "key"
    written, _ = TicketOffice.at(path).write(Ticket("ann", ()))
    assert TicketOffice.at(path).read(written) is not None
    assert path.stat().st_mode & 0o777 == 0o600


def test_our_client_dances_with_our_registry(passwords: Passwords, tmp_path: Path) -> None:
    """Push with a password, pull as a stranger, log in for an identity token and pull with that."""
    access = TokenAccess(passwords, TicketOffice(b"k" * 32), anonymous_pull=True)
    with own_registry(tmp_path / "registry", access) as registry:
        made = make_image({"a": b"1"})
        bench = PullBench(tmp_path / "one")
        name = f"{registry.host}/me/app"
        ann = base64.urlsafe_b64encode(json.dumps({"username": "ann", "password": "secret"}).encode()).decode()
        with bench.graph.lease():
            for layer in made.layers:
                bench.graph.add_layer(None, io.BytesIO(layer))
            bench.tags.set(name, "1", bench.graph.register(made.config).id)
        with pytest.raises(Denied, match="requested access to the resource is denied"):
            bench.push(name, "1")
        bench.push(name, "1", **{"X-Registry-Auth": ann})
        stranger = PullBench(tmp_path / "two")
        stranger.pull(name, "1")
        assert stranger.tags.get(name, "1") == made.id
        with pytest.raises(Unauthorized):
            bad = Credentials("ann", "wrong")
            stranger.registry.session(Reference.parse(name), bad).fetch_manifest("1")


def age(folder: Path) -> None:
    for file in folder.rglob("*"):
        os.utime(file, (1, 1))


def test_garbage_collection(tmp_path: Path) -> None:
    """What a manifest names stays, what is young stays; the rest goes, blob and listing."""
    kept, gone = make_image({"a": b"kept"}), make_image({"a": b"gone"})
    with own_registry(tmp_path) as registry:
        registry.push("me/app", "kept", kept)
        registry.push("me/app", "gone", gone)
        registry.ask("DELETE", f"/v2/me/app/manifests/{gone.digest}")
        assert collect(registry.storage).blobs == 0  # all is young
        age(tmp_path)
        young = registry.push_blob("me/app", b"young")
        dry = collect(registry.storage, dry=True)
        swept = collect(registry.storage)
        assert (
            (dry.blobs, dry.size)
            == (swept.blobs, swept.size)
            == (3, sum(map(len, [*gone.blobs.values(), gone.manifest])))
        )
        for data in kept.blobs:
            assert registry.ask("HEAD", f"/v2/me/app/blobs/{data}").status == 200
        assert registry.ask("HEAD", f"/v2/me/app/blobs/{young}").status == 200
        assert registry.ask("HEAD", f"/v2/me/app/blobs/{digest(gone.layers[0])}").status == 404


def test_garbage_collection_of_untagged_manifests(tmp_path: Path) -> None:
    """Moved tags leave manifests behind; they go when asked for."""
    old, new = make_image({"a": b"old"}), make_image({"a": b"new"})
    with own_registry(tmp_path) as registry:
        registry.push("me/app", "1", old)
        registry.push("me/app", "1", new)
        age(tmp_path)
        assert collect(registry.storage).manifests == 0
        assert collect(registry.storage, delete_untagged=True).manifests == 1
        assert registry.ask("GET", f"/v2/me/app/manifests/{old.digest}").status == 404
        assert registry.ask("GET", "/v2/me/app/manifests/1").body == new.manifest


@pytest.mark.parametrize("damage", ["not json", "record gone", "blob gone", "no digest"])
def test_one_damaged_record_does_not_end_the_sweep(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Its repository is left as it is, for what it named cannot be told; the others are swept."""
    broken, kept, gone = (make_image({"a": word}) for word in (b"broken", b"kept", b"gone"))
    with own_registry(tmp_path) as registry:
        registry.push("a/broken", "1", broken)
        registry.push("a/broken", "2", kept)
        registry.push("b/sound", "1", gone)
        registry.ask("DELETE", f"/v2/b/sound/manifests/{gone.digest}")
        record = registry.storage.blob_path(broken.digest)
        if damage == "record gone":
            (registry.storage.repositories / "a/broken/_tags/1").write_text("sha256:" + "0" * 64)
        elif damage == "blob gone":
            record.unlink()
        else:
            record.write_text("{" if damage == "not json" else '{"schemaVersion": 2, "config": {}}')
        age(tmp_path)
        collect(registry.storage, delete_untagged=damage == "record gone")
        assert not any(registry.storage.blob_path(one).exists() for one in gone.blobs)
        assert registry.ask("GET", "/v2/a/broken/manifests/2").body == kept.manifest
        for one in {*kept.blobs, *(() if damage == "record gone" else broken.blobs)}:
            assert registry.ask("HEAD", f"/v2/a/broken/blobs/{one}").status == 200, "a blob of its list was swept"
    assert ("a/broken has a damaged record" in caplog.text) == (damage != "record gone")

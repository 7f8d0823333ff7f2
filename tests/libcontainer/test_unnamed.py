"""Births ahead of need: which containers can be one that waits, and how it is told who it is."""

from __future__ import annotations

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mini_docker.dataclasses import replace
from mini_docker.libcontainer import dialogue, unnamed
from mini_docker.libcontainer.config import (
    Capabilities,
    ContainerSpec,
    IdMap,
    Mount,
    Namespace,
    ProcessSpec,
    Resources,
)
from mini_docker.libcontainer.terms import Birth, Terms
from tests.libcontainer.test_config import specs

KINDS = ("pid", "mount", "uts", "ipc", "network")
USUAL = ContainerSpec(
    ProcessSpec(("true",), capabilities=Capabilities(("CAP_CHOWN", "CAP_KILL"))),
    tuple(Namespace(kind) for kind in KINDS),
    cgroup="docker/one",
)
TERMS = Terms(b"filter", 40, keyring="_ses.one")


def birth(spec: ContainerSpec = USUAL, terms: Terms = TERMS, **changes: int) -> Birth:
    """A birth like the usual one."""
    return replace(Birth(spec, 7, "", "/run/stage", terms), **changes)  # type: ignore[arg-type]


@given(specs, specs, st.sampled_from((b"", b"filter", b"other")), st.booleans(), st.booleans())
def test_a_name_says_all_that_a_birth_does(
    spec: ContainerSpec, guessed: ContainerSpec, seccomp: bytes, has_root: bool, has_stdio: bool
) -> None:
    """Whoever was born ahead becomes exactly the container that was asked for, whatever was guessed."""
    told = birth(spec, replace(TERMS, seccomp=seccomp), root=7 if has_root else -1)
    model = birth(guessed)
    name = dialogue.Named(json.loads(json.dumps(unnamed.write(replace(told, root=-1), model).birth)))
    named = unnamed.read(name, model)
    house, sent = unnamed.write_house(told, (10, 11, 12) if has_stdio else None)
    received = [descriptor + 100 for descriptor in sent]
    heard, stdio = unnamed.read_house(house, received, named)
    assert replace(heard, root=told.root) == told
    assert heard.root == (107 if has_root else -1)
    assert stdio == ((110, 111, 112) if has_stdio else None)


def test_a_name_and_a_house_travel() -> None:
    """The dialogue carries a whole spec in one word, a root and three streams in another."""
    ours, theirs = dialogue.pair()
    with ours, theirs:
        mounts = (Mount("/a", "bind", "/b", ("ro",)),) * 50
        name = unnamed.write(birth(replace(USUAL, mounts=mounts)), birth())
        house, _ = unnamed.write_house(birth(), (0, 1, 2))
        dialogue.say(ours, name)
        dialogue.say(ours, house, ours.fileno(), 0, 1, 2)
        assert dialogue.hear(theirs) == (name, [])
        heard, descriptors = dialogue.hear(theirs)
        assert heard == house
        assert len(descriptors) == 4
        for descriptor in descriptors:
            os.close(descriptor)


def test_a_birth_can_be_rehearsed() -> None:
    """A rehearsal makes all plans, and needs nothing that is only there at the real birth."""
    unnamed.rehearse(birth(root=-1))


@pytest.mark.parametrize(
    "other",
    [
        birth(replace(USUAL, hostname="other", mounts=(Mount("/v", "bind", "/v"),), cgroup="docker/two")),
        birth(replace(USUAL, namespaces=(*USUAL.namespaces, Namespace("cgroup")))),
        birth(replace(USUAL, process=ProcessSpec(("sh",), user="1000", terminal=True))),
        birth(replace(USUAL, namespaces=tuple(reversed(USUAL.namespaces)))),
        birth(replace(USUAL, process=replace(USUAL.process, capabilities=Capabilities()))),
    ],
    ids=[
        "other names", "a namespace made later", "another command", "another order", "fewer privileges",
    ],
)  # fmt: skip
def test_what_is_told_later_does_not_matter(other: Birth) -> None:
    """Only what a birth decides for good makes two containers different in kind."""
    assert unnamed.expectable(other, birth())


@pytest.mark.parametrize(
    "other",
    [
        birth(replace(USUAL, namespaces=USUAL.namespaces[:-1])),
        birth(replace(USUAL, namespaces=(*USUAL.namespaces[:-1], Namespace("network", "/proc/1/ns/net")))),
        birth(replace(USUAL, namespaces=(*USUAL.namespaces[1:], Namespace("pid", "/proc/1/ns/pid")))),
        birth(replace(USUAL, namespaces=(*USUAL.namespaces, Namespace("cgroup", "/proc/1/ns/cgroup")))),
        birth(
            replace(
                USUAL, namespaces=(*USUAL.namespaces, Namespace("user")), uid_map=(IdMap(0, 1000, 1),),
                gid_map=(IdMap(0, 1000, 1),),
            )
        ),
        birth(terms=replace(TERMS, narration=5)),
        birth(gate=5),
        birth(replace(USUAL, process=replace(USUAL.process, capabilities=Capabilities(("CAP_SYS_ADMIN",))))),
        birth(replace(USUAL, cgroup="elsewhere/two")),
        birth(replace(USUAL, resources=Resources(memory_bytes=6 << 20, pids=10))),
    ],
    ids=[
        "the host's network", "another's network", "another's processes", "another's cgroups",
        "id maps", "narrated", "a gate", "privileges", "another's cgroup above", "limits",
    ],
)  # fmt: skip
def test_who_is_of_another_kind_is_born_on_demand(other: Birth) -> None:
    """Clone decides the namespaces; a narration tells of a birth while it happens."""
    assert not unnamed.expectable(other, birth())


def test_nobody_waits_with_a_share_of_the_real_time() -> None:
    """What a cradle holds of it others cannot have."""
    wish = birth(replace(USUAL, resources=Resources(cpu_realtime_runtime_us=400_000)))
    assert not unnamed.expectable(wish, wish)


def test_every_cradle_is_a_new_one_beside_the_model() -> None:
    """Only there can it be renamed to a container's cgroup; other supervisors may have cradles there, too."""
    one, other = (unnamed.cradle_beside(USUAL.cgroup) for _ in range(2))
    assert one != other
    assert {path.rpartition("/")[0] for path in (one, other)} == {"docker"}

"""Which half of the birth makes or joins which namespace."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mini_docker.errors import Invalid
from mini_docker.libcontainer import namespaces
from mini_docker.libcontainer.config import NAMESPACES, ContainerSpec, Namespace, ProcessSpec
from mini_docker.linux import constants as c
from mini_docker.linux.id_mapping import IdMap

kinds = st.lists(st.sampled_from(NAMESPACES), unique=True)


def spec(*wishes: Namespace, **more: object) -> ContainerSpec:
    return ContainerSpec(ProcessSpec(("true",)), wishes, **more)  # type: ignore[arg-type]


@given(kinds, st.data())
def test_every_namespace_is_dealt_with_exactly_once(chosen: list[str], data: st.DataObject) -> None:
    """New or joined, by one half or the other: none is forgotten, none is done twice."""
    wishes = [Namespace(kind, data.draw(st.sampled_from(["", "/proc/1/ns/x"]))) for kind in chosen]
    plan = namespaces.plan(spec(*wishes))
    done = [flag for flag in c.NAMESPACE_FLAGS.values() if plan.clone_flags & flag]
    done += [flag for flag in c.NAMESPACE_FLAGS.values() if plan.init_unshares & flag]
    done += [flag for _, flag in (*plan.parent_joins, *plan.init_joins, *plan.midwife_joins)]
    assert sorted(done) == sorted(c.NAMESPACE_FLAGS[kind] for kind in chosen)


@given(kinds)
def test_a_joined_pid_namespace_is_the_parents_to_enter(chosen: list[str]) -> None:
    """Entering a pid namespace moves only the children of who enters: init itself could not."""
    plan = namespaces.plan(spec(*(Namespace(kind, "/x") for kind in chosen)))
    assert {flag for _, flag in plan.parent_joins} <= {c.CLONE_NEWPID, c.CLONE_NEWTIME}
    assert c.CLONE_NEWPID not in {flag for _, flag in plan.init_joins}


@given(kinds)
def test_a_joined_user_namespace_is_entered_first_and_by_a_midwife(chosen: list[str]) -> None:
    """It decides what may be done to all others (user_namespaces(7)), and nobody who entered it comes back."""
    plan = namespaces.plan(spec(*(Namespace(kind, "/x") for kind in chosen)))
    assert bool(plan.midwife_joins) == ("user" in chosen)
    if plan.midwife_joins:
        assert plan.midwife_joins[0][1] == c.CLONE_NEWUSER
        assert plan.parent_joins == plan.init_joins == ()


def test_a_new_cgroup_namespace_waits_until_init_is_placed() -> None:
    """Made at clone, its "/" would be the supervisor's group: see the dialogue's word Mapped."""
    plan = namespaces.plan(spec(Namespace("cgroup"), Namespace("pid")))
    assert plan.clone_flags == c.CLONE_NEWPID
    assert plan.init_unshares == c.CLONE_NEWCGROUP


@pytest.mark.parametrize(
    "bad",
    [
        spec(Namespace("netwrok")),
        spec(Namespace("pid"), Namespace("pid", "/x")),
        spec(Namespace("pid"), uid_map=(IdMap(0, 1000, 1),)),
    ],
    ids=["unknown kind", "one kind twice", "id maps without a new user namespace"],
)
def test_nonsense_is_refused(bad: ContainerSpec) -> None:
    """Before anything is cloned."""
    with pytest.raises(Invalid):
        namespaces.plan(bad)

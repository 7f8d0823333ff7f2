"""Capabilities: the bits, Docker's default set, and what --cap-add and --cap-drop make of it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mini_docker.errors import Invalid
from mini_docker.libcontainer.capabilities import (
    CAPABILITIES,
    DEFAULT_CAPABILITIES,
    LAST_CAP,
    all_capabilities,
    apply_adjustments,
    mask,
    names,
    normalize_capabilities,
    plan_capability_sets,
)

any_name = st.sampled_from(CAPABILITIES)


def test_numbers_are_the_kernels() -> None:
    """A name one place off would give a container another power than its user meant."""
    for name, number in (("CAP_CHOWN", 0), ("CAP_NET_ADMIN", 12), ("CAP_SYS_ADMIN", 21), ("CAP_SYSLOG", 34)):
        assert CAPABILITIES[number] == name
    assert (CAPABILITIES[LAST_CAP], LAST_CAP) == ("CAP_CHECKPOINT_RESTORE", 40)


def test_default_is_dockers() -> None:
    """The mask that every Docker container shows in /proc/self/status."""
    assert f"{mask(DEFAULT_CAPABILITIES):016x}" == "00000000a80425fb"


@given(st.sets(any_name))
def test_mask_and_names_are_inverse(chosen: set[str]) -> None:
    """Nothing is lost on the way to the kernel's form and back."""
    assert set(names(mask(chosen))) == chosen


def test_users_write_names_as_they_like() -> None:
    """Docker takes either case, with and without CAP_."""
    assert normalize_capabilities(["net_admin", "CAP_NET_ADMIN", "Sys_Time", "all"]) == (
        "CAP_NET_ADMIN", "CAP_SYS_TIME", "ALL",
    )  # fmt: skip


def test_unknown_name_in_dockers_words() -> None:
    """The command line shows this text; scripts wait for it."""
    with pytest.raises(Invalid, match=r'^invalid CapAdd: unknown capability: "CAP_FLY"$'):
        apply_adjustments(add=["fly"])
    with pytest.raises(Invalid, match=r'^invalid CapDrop: unknown capability: "CAP_FLY"$'):
        apply_adjustments(drop=["CAP_FLY"])


@settings(max_examples=60)
@given(add=st.lists(any_name, max_size=4), drop=st.lists(any_name, max_size=4))
def test_adjustments(add: list[str], drop: list[str]) -> None:
    """What is added is there; what is dropped is not, unless it was added too; nothing else changes."""
    result = set(apply_adjustments(add, drop))
    assert result == (set(DEFAULT_CAPABILITIES) - set(drop)) | set(add)
    assert set(apply_adjustments(add, [*drop, "ALL"])) == set(add)
    assert set(apply_adjustments([*add, "all"], drop)) == set(CAPABILITIES) - set(drop)
    assert apply_adjustments(add, drop, privileged=True) == CAPABILITIES


def test_an_older_kernel_gets_only_what_it_has() -> None:
    """Asking it for CAP_BPF would make capset fail, and with it every privileged container."""
    assert all_capabilities(37)[-1] == "CAP_AUDIT_READ"
    assert apply_adjustments(privileged=True, last_cap=37) == CAPABILITIES[:38]
    assert "CAP_BPF" not in apply_adjustments(add=["bpf"], last_cap=37)


def test_five_sets() -> None:
    """Root holds its set; another user holds nothing, and could get back no more than the bounding set."""
    root = plan_capability_sets(DEFAULT_CAPABILITIES, root=True)
    assert root.bounding == root.effective == root.permitted == DEFAULT_CAPABILITIES
    assert root.inheritable == root.ambient == ()
    user = plan_capability_sets(DEFAULT_CAPABILITIES, root=False)
    assert user.bounding == DEFAULT_CAPABILITIES
    assert user.effective == user.permitted == user.inheritable == user.ambient == ()

"""Giving up power in the one order that works."""

from __future__ import annotations

import pytest

from mini_docker.errors import Invalid
from mini_docker.libcontainer import privileges
from mini_docker.libcontainer.config import Capabilities, ProcessSpec, Rlimit
from mini_docker.libcontainer.users import Identity
from mini_docker.linux import constants as c
from mini_docker.linux.recording import RecordingKernel

ROOT = Identity(0, 0, (), "/root")
USER = Identity(70, 70, (10,), "/")
CAPS = ("CAP_CHOWN", "CAP_KILL")
FILTER = b"\0" * 8


def process(**more: object) -> ProcessSpec:
    return ProcessSpec(("true",), capabilities=Capabilities(CAPS, CAPS, (), CAPS), **more)  # type: ignore[arg-type]


def calls(identity: Identity, seccomp: bytes = FILTER, **more: object) -> list[tuple[str, tuple[object, ...]]]:
    kernel = RecordingKernel()
    privileges.drop(kernel.door(), privileges.plan(process(**more), identity, seccomp), last_capability=40)
    return kernel.calls


def test_without_no_new_privs_the_filter_is_loaded_while_it_may_be() -> None:
    """Loading needs CAP_SYS_ADMIN then, which the next steps take away."""
    names = [name for name, _ in calls(ROOT)]
    assert names.index("seccomp") < names.index("prctl") < names.index("capset")


def test_with_no_new_privs_the_filter_comes_last() -> None:
    """It then needs no capability, and the fewer of our own calls it sees the better."""
    names = [name for name, _ in calls(USER, no_new_privileges=True)]
    assert names[-1] == "seccomp"
    assert names.index("setresuid") < names.index("capset")


def test_the_bounding_set_shrinks_before_the_user_changes() -> None:
    """PR_CAPBSET_DROP needs CAP_SETPCAP; setresuid takes it."""
    made = calls(USER)
    drops = [index for index, (name, args) in enumerate(made) if name == "prctl" and args[0] == c.PR_CAPBSET_DROP]
    assert len(drops) == 41 - len(CAPS)
    assert max(drops) < [name for name, _ in made].index("setresuid")


def test_groups_before_user() -> None:
    """CAP_SETGID goes with the user."""
    names = [name for name, _ in calls(USER)]
    assert names.index("setgroups") < names.index("setresgid") < names.index("setresuid")


def test_root_stays_root_and_keeps_its_sets() -> None:
    """No setresuid to what we are already; the sets become exactly the spec's."""
    made = calls(ROOT)
    assert "setresuid" not in [name for name, _ in made]
    assert ("capset", (0b100001, 0b100001, 0)) in made


def test_another_user_starts_without_capabilities() -> None:
    """As Docker has it: only root is born with them. The OCI's exact form keeps what is listed."""
    assert ("capset", (0, 0, 0)) in calls(USER)
    assert ("capset", (0b100001, 0b100001, 0)) in calls(USER, keep_capabilities=True)


def test_ones_own_group_cannot_be_lost() -> None:
    """It is a supplementary one, too, where Docker's users are meant; the OCI's list stands as it is."""
    groups = {name: args for name, args in calls(USER) if name in ("setgroups", "setresgid")}
    assert groups["setgroups"][0][0] == groups["setresgid"][0] == USER.gid
    assert dict(calls(USER, keep_capabilities=True))["setgroups"] == (USER.groups,)


def test_the_parent_gives_what_only_the_hosts_root_can(monkeypatch: pytest.MonkeyPatch) -> None:
    """To a newborn in a user namespace, whose root has no say over the machine's limits; no power, no complaint yet."""
    asked: list[tuple[int, ...]] = []

    def prlimit(pid: int, number: int, limits: tuple[int, int]) -> None:
        asked.append((pid, number, *limits))
        raise PermissionError

    monkeypatch.setattr(privileges.resource, "prlimit", prlimit)
    kernel = RecordingKernel(failures={"write_file": 13})
    wished = process(oom_score_adj=-5, rlimits=(Rlimit("RLIMIT_NOFILE", 10, 20), Rlimit("RLIMIT_NONE", 1, 1)))
    privileges.grant(kernel.door(), 7, wished)
    assert ("write_file", ("/proc/7/oom_score_adj", "-5")) in kernel.calls
    assert asked == [(7, privileges.RLIMITS["RLIMIT_NOFILE"], 10, 20)]


def test_limits_beyond_the_machine_are_cut_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some machines withhold CAP_SYS_RESOURCE even from root: degrade, and say so."""
    monkeypatch.setattr(privileges.resource, "getrlimit", lambda _: (512, 1024))
    plan = privileges.plan(process(rlimits=(Rlimit("RLIMIT_NOFILE", 4096, 8192),)), ROOT, b"")
    cut, warnings = privileges.cut_to_attainable(plan, may_raise=False)
    assert cut.rlimits == (Rlimit("RLIMIT_NOFILE", 1024, 1024),)
    assert len(warnings) == 1
    assert privileges.cut_to_attainable(plan, may_raise=True) == (plan, ())


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"rlimits": (Rlimit("RLIMIT_NOSUCH", 1, 1),)}, "unknown resource limit 'RLIMIT_NOSUCH'"),
        ({"rlimits": (Rlimit("RLIMIT_NOFILE", 9, 1),)}, "soft limit 9 is above the hard limit 1"),
    ],
)
def test_nonsense_is_refused(more: dict[str, object], reason: str) -> None:
    """While init can still say why."""
    with pytest.raises(Invalid, match=reason):
        privileges.plan(process(**more), ROOT, b"")

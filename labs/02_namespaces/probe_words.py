"""What both halves are told, checked against the kernel's own tables and against random specs. No root needed."""

from __future__ import annotations

import secrets
from pathlib import Path

from mini_docker.libcontainer import namespaces
from mini_docker.libcontainer.config import NAMESPACES, ContainerSpec, IdMap, Namespace, ProcessSpec
from mini_docker.libcontainer.parent import _id_map, joinable_flags
from mini_docker.linux import constants as c


def test_an_id_map_reads_as_the_kernels_own() -> None:
    """The kernel's file and ours have the same three columns, and any number of lines."""
    inside, outside, size = (int(word) for word in Path("/proc/self/uid_map").read_text().splitlines()[0].split())
    assert _id_map((IdMap(inside, outside, size),)).split() == [str(inside), str(outside), str(size)]
    maps = tuple(IdMap(n * 1000, secrets.randbelow(1 << 30), secrets.randbelow(900) + 1) for n in range(3))
    assert _id_map(maps) == "".join(f"{m.container_id} {m.host_id} {m.size}\n" for m in maps)
    assert _id_map(()) == ""


def test_who_enters_a_container_enters_all_but_pid_and_time() -> None:
    """New or joined, a namespace sets the container apart; the two that only children enter are not entered."""
    for _ in range(50):
        kinds = [kind for kind in NAMESPACES if secrets.randbelow(2)]
        spec = ContainerSpec(
            ProcessSpec(("true",)), tuple(Namespace(kind, secrets.choice(["", "/proc/1/ns/x"])) for kind in kinds)
        )
        expected = {kind for kind in kinds if kind not in ("pid", "time")}
        assert {kind for kind, flag in c.NAMESPACE_FLAGS.items() if joinable_flags(spec) & flag} == expected


def test_the_plans_paths_are_the_specs() -> None:
    """A path is joined as it was given, with the flag of its kind."""
    paths = {kind: f"/proc/{secrets.randbelow(1 << 20)}/ns/x" for kind in NAMESPACES}
    plan = namespaces.plan(
        ContainerSpec(ProcessSpec(("true",)), tuple(Namespace(kind, path) for kind, path in paths.items()))
    )
    joined = dict((*plan.parent_joins, *plan.init_joins, *plan.midwife_joins))
    assert joined == {path: c.NAMESPACE_FLAGS[kind] for kind, path in paths.items()}
    assert plan.clone_flags == plan.init_unshares == 0

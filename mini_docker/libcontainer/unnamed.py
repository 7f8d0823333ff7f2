"""Births ahead of need: an init that is born before its container is asked for, and is told later who it is.

Clone with new namespaces, the first touch of each page of memory after a fork, and new instances of proc, sysfs,
devpts and tmpfs take half of a container's birth, and none of it depends on which container it will be. So it can be
done while nobody waits.

The parent guesses (`expectable`): the next container will be like the last one. A wrong guess costs one birth in vain.

This module knows what can be done ahead, and how a name is written for the dialogue.
"""

from __future__ import annotations

import base64
from functools import partial

from mini_docker.libcontainer import namespaces, privileges, rootfs_plan, users
from mini_docker.libcontainer.config import ContainerSpec, from_json, to_json
from mini_docker.libcontainer.dialogue import Named
from mini_docker.libcontainer.terms import Birth, Join, Stdio, Terms


def expectable(birth: Birth, expected: ContainerSpec) -> bool:
    """Whether *birth* can be that of an init that was born for *expected*.

    It can if both are born with the same namespaces, into nobody else's pid namespace, without a user namespace,
    and if nobody listens to how it is born.
    """
    plan = namespaces.plan(birth.spec)
    return (
        plan.clone_flags == namespaces.plan(expected).clone_flags
        and not plan.parent_joins
        and not birth.spec.has_own("user")
        and birth.terms.narration < 0
        and birth.gate < 0
    )


def write(birth: Birth, stdio: Stdio | None) -> tuple[Named, tuple[int, ...]]:
    """The birth as a word to say, and the descriptors that go along."""
    descriptors = (*((birth.root,) if birth.root >= 0 else ()), *(stdio or ()))
    return Named({
        "spec": to_json(birth.spec), "has_root": birth.root >= 0, "root_path": birth.root_path, "stage": birth.stage,
        "has_stdio": stdio is not None, "seccomp": base64.b64encode(birth.terms.seccomp).decode(),
        "last_capability": birth.terms.last_capability, "keyring": birth.terms.keyring,
    }), descriptors  # fmt: skip


def read(name: Named, descriptors: list[int], join: Join) -> tuple[Birth, Stdio | None]:
    """The inverse of `write`; *join* moves the one who reads into the cgroups."""
    told, descriptors = name.birth, list(descriptors)
    spec = from_json(ContainerSpec, told["spec"])
    terms = Terms(
        base64.b64decode(told["seccomp"]), told["last_capability"], partial(join, spec.cgroup), told["keyring"]
    )
    root = descriptors.pop(0) if told["has_root"] else -1
    stdio = (descriptors[0], descriptors[1], descriptors[2]) if told["has_stdio"] else None
    return Birth(spec, root, told["root_path"], told["stage"], terms), stdio


def rehearse(expected: ContainerSpec) -> None:
    """Make every plan once, for nothing: a page that a fork left shared is copied when one of the two first touches it.

    Parent and init do it right after the birth, when nobody waits for them.
    """
    name, _ = write(Birth(expected, -1, "", "", Terms(b"", 0)), None)
    birth, _ = read(name, [], lambda cgroup, kernel: None)
    process = birth.spec.process
    namespaces.plan(birth.spec)
    rootfs_plan.plan(birth.spec)
    privileges.plan(process, users.look_up("", (), "", ""), b"")

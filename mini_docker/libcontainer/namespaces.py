"""Which namespaces are new and which are joined: the flags for clone, setns and unshare, as a plan.

Pure. The order matters and is explained where it is decided.
"""

from __future__ import annotations

from mini_docker.dataclasses import dataclass
from mini_docker.errors import Invalid
from mini_docker.libcontainer.config import NAMESPACES, ContainerSpec
from mini_docker.linux import constants as c


@dataclass(frozen=True, slots=True)
class NamespacePlan:
    """What each half does about namespaces.

    Attributes:
        clone_flags: init is born with these new ones.
        parent_joins: (path, flag): the parent enters before it clones and leaves after: a pid or
            time namespace takes only the *children* of who enters it.
        init_joins: (path, flag): init enters these itself.
        midwife_joins: (path, flag): all that are joined when a user namespace is among them, that one first. A
            namespace belongs to the user namespace that its maker is in. So the new ones must be made from inside,
            whence nobody comes back: a further process enters, and bears init there.
        init_unshares: flags that init leaves once it is placed: a new cgroup namespace shows the
            group that its maker is in as "/", so on cgroup v1, where clone can't place a child, it
            must be made after the parent moved init.
    """

    clone_flags: int
    parent_joins: tuple[tuple[str, int], ...]
    init_joins: tuple[tuple[str, int], ...]
    init_unshares: int
    midwife_joins: tuple[tuple[str, int], ...] = ()


def plan(spec: ContainerSpec) -> NamespacePlan:
    """Sort the spec's namespaces by who does what.

    Raises:
        Invalid: an unknown kind, one kind twice, or id maps without a new user namespace.
    """
    clone_flags, init_unshares = 0, 0
    parent_joins: list[tuple[str, int]] = []
    init_joins: list[tuple[str, int]] = []
    seen: set[str] = set()
    for namespace in sorted(spec.namespaces, key=lambda ns: ns.kind != "user"):
        if namespace.kind not in NAMESPACES:
            raise Invalid(f"unknown namespace kind {namespace.kind!r}: one of {', '.join(NAMESPACES)}")
        if namespace.kind in seen:
            raise Invalid(f"namespace {namespace.kind!r} is listed twice")
        seen.add(namespace.kind)
        flag = c.NAMESPACE_FLAGS[namespace.kind]
        if namespace.path:
            joins = parent_joins if namespace.kind in ("pid", "time") else init_joins
            joins.append((namespace.path, flag))
        elif namespace.kind in ("cgroup", "time"):
            init_unshares |= flag
        else:
            clone_flags |= flag
    if (spec.uid_map or spec.gid_map) and not clone_flags & c.CLONE_NEWUSER:
        raise Invalid("id maps need a new user namespace")
    if spec.time_offsets and not init_unshares & c.CLONE_NEWTIME:
        raise Invalid("time offsets need a new time namespace")
    if any(flag == c.CLONE_NEWUSER for _, flag in init_joins):
        return NamespacePlan(clone_flags, (), (), init_unshares, (*init_joins, *parent_joins))
    return NamespacePlan(clone_flags, tuple(parent_joins), tuple(init_joins), init_unshares)

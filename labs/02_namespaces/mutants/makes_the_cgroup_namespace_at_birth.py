"""Makes the cgroup namespace at clone, so that its root is the supervisor's group instead of the container's."""


def plan(spec):
    clone_flags, init_unshares, parent_joins, init_joins, seen = 0, 0, [], [], set()
    for namespace in sorted(spec.namespaces, key=lambda ns: ns.kind != "user"):
        if namespace.kind not in NAMESPACES:
            raise Invalid(f"unknown namespace kind {namespace.kind!r}")
        if namespace.kind in seen:
            raise Invalid(f"namespace {namespace.kind!r} is listed twice")
        seen.add(namespace.kind)
        flag = c.NAMESPACE_FLAGS[namespace.kind]
        if namespace.path:
            (parent_joins if namespace.kind in ("pid", "time") else init_joins).append((namespace.path, flag))
        elif namespace.kind == "time":
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

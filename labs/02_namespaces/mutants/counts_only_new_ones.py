"""Counts only the new namespaces: a process that enters a container with a shared network stays in the host's."""


def joinable_flags(spec):
    flags = 0
    for namespace in spec.namespaces:
        if namespace.kind not in ("pid", "time") and not namespace.path:
            flags |= c.NAMESPACE_FLAGS[namespace.kind]
    return flags

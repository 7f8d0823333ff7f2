"""Wants to enter the pid namespace itself, too; whoever does is not moved, and setns of a descriptor refuses."""


def joinable_flags(spec):
    flags = 0
    for namespace in spec.namespaces:
        flags |= c.NAMESPACE_FLAGS[namespace.kind]
    return flags

"""Leaves descriptors open when a join fails: each failing start costs the supervisor one more, until it has none."""


def _enter(kernel, joins):
    opened = [os.open(path, os.O_RDONLY | os.O_CLOEXEC) for path, _ in joins]
    for descriptor, (_, flag) in zip(opened, joins, strict=True):
        kernel.setns(descriptor, flag)
        os.close(descriptor)

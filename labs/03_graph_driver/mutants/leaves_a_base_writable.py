"""Forgets that a base layer is read-only: what is written through it, every container of the image sees."""


def clone_detached(kernel, directory, *, read_only):
    return kernel.open_tree(AT_FDCWD, str(directory), OPEN_TREE_CLONE)

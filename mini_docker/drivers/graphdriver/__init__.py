"""Graph drivers: where layers lie.

Reading order: contract, selection, layer_folders, open_roots, naive, tree_driver, vfs, overlay_mount, overlay, btrfs,
devicemapper (its ioctls, pool and file system first), aufs.
"""

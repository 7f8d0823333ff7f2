"""Graph drivers: where layers lie.

Reading order: contract, selection, layer_folders, open_roots, naive, vfs, overlay_mount, overlay, btrfs.
"""

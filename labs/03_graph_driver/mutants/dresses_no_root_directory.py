"""Makes a child's root directory with default looks: the root directory is never copied up, so it has the wrong owner."""


class OverlayDriver:
    def _create(self, layer_id, parent, *, writable):
        with self._folders.making(layer_id, parent, self._dispose) as folder:
            diff = folder / _DIFF
            os.mkdir(diff)
            os.chmod(diff, _EMPTY_MODE)
            if parent is not None:
                lowers = (self._short_name(parent), *_lowers(self._root / parent))
                if len(lowers) > MAX_LOWERS:
                    raise Unsupported(f"max depth exceeded: a layer may stand on {MAX_LOWERS} others with overlay")
                (folder / _LOWER).write_text(":".join(f"{LINKS}/{lower}" for lower in lowers))
            if writable:
                os.mkdir(folder / _WORK, 0o700)

"""Makes a child's root directory with default looks: the root directory is never copied up, so it has the wrong owner."""


class OverlayDriver:
    def _fill(self, folder, parent, *, writable):
        diff = folder / _DIFF
        os.mkdir(diff)
        os.chmod(diff, _EMPTY_MODE)
        if parent is not None:
            self._names.lay_on(folder, parent)
        if writable:
            os.mkdir(folder / _WORK, 0o700)

"""Puts only the parent below a new layer, so that every image has two layers and no more."""


class OverlayDriver:
    def _create(self, layer_id, parent, *, writable):
        with self._folders.making(layer_id, parent, self._dispose) as folder:
            diff = folder / _DIFF
            os.mkdir(diff)
            if parent is None:
                os.chmod(diff, _EMPTY_MODE)
            else:
                with opened(self._root / parent / _DIFF) as source, opened(diff) as target:
                    copy_directory_metadata(source, target)
                (folder / _LOWER).write_text(f"{LINKS}/{self._short_name(parent)}")
            if writable:
                os.mkdir(folder / _WORK, 0o700)

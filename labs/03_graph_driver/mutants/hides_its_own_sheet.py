"""Opens an image layer without the layer itself: only what lies below is seen."""


class OverlayDriver:
    def _mount_read_only(self, layer_id):
        folder = self._folders.folder(layer_id)
        lowers = self._names.below(folder)
        if not lowers:
            return clone_detached(self._kernel, folder / _DIFF, read_only=True)
        return self._mount(OverlayMount(self._names.links, lowers))

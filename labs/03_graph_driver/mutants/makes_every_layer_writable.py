"""Mounts image layers with their sheet as the upper directory, so that a reader of an image can change it."""


class OverlayDriver:
    def _mount_layer(self, layer_id):
        folder = self._folders.folder(layer_id)
        lowers = self._names.below(folder)
        (folder / _WORK).mkdir(exist_ok=True)
        if not lowers:
            return clone_detached(self._kernel, folder / _DIFF, read_only=False)
        return self._mount(OverlayMount(self._names.links, lowers, str(folder / _DIFF), str(folder / _WORK)))

"""Takes the mount down at the first close, while others still have it open."""


class OpenRoots:
    def close(self, layer_id):
        with self._changed:
            hook = self._hooks.get(layer_id)
            if hook is None or not hook.opens:
                raise Conflict(f"layer {layer_id} is not open")
            hook.opens = 0
            self._background.put(partial(self._take_down, layer_id))

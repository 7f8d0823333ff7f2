"""Accepts a close of what is not open, and hides the mistake of a caller that closes twice."""


class OpenRoots:
    def close(self, layer_id):
        with self._changed:
            hook = self._hooks.get(layer_id)
            if hook is not None and hook.opens:
                hook.opens -= 1
                if not hook.opens:
                    self._background.put(partial(self._take_down, layer_id))

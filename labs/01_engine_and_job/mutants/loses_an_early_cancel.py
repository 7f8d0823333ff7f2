"""Only listens from now on: a cancel that came before the block is lost, and the handler waits for ever."""


class Job:
    @contextmanager
    def on_cancel(self, callback):
        with self._lock:
            self._cancel_callbacks.append(callback)
        try:
            yield
        finally:
            with self._lock:
                self._cancel_callbacks.remove(callback)

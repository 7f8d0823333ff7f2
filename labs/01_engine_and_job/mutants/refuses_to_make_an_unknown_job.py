"""Raises when a job of an unknown name is made, instead of ending with 127 when it is run."""


class Engine:
    def job(self, name, *args, parent=None):
        with self._lock:
            if name not in self._handlers and self._catchall is None:
                raise Invalid(f"{name}: no such job")
            return Job(self, name, args, self._handlers.get(name, self._catchall), parent)

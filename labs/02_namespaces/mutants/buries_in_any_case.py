"""Buries on every way out instead of the failed ones only: no process lives longer than its birth."""


class Parent:
    @contextmanager
    def _burying(self, newborn):
        try:
            yield
        finally:
            bury(self._kernel, newborn)

"""Leaves a newborn alone when its maps are refused: a process waits for ever for a word that nobody will say."""


class Parent:
    @contextmanager
    def _burying(self, newborn):
        yield

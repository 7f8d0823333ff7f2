"""Gives the lowest layer first: the oldest file wins over the newest."""


class OverlayMount:
    def by_parameters(self):
        lowers = tuple(("lowerdir+", str(self.links / lower)) for lower in reversed(self.lowers))
        return (("source", "overlay"), *lowers, *self._upper_and_options())

"""Spells each lower directory out: a deep image does not fit into the page that mount(2) takes."""


class OverlayMount:
    def by_option_string(self, links_descriptor):
        lowers = ":".join(f"{self.links}/{lower}" for lower in self.lowers)
        upper = tuple((key, _escaped(value)) for key, value in self._upper_and_options())
        return ",".join(f"{key}={value}" for key, value in (("lowerdir", lowers), *upper))

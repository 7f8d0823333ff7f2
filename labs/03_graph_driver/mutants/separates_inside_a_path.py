"""Does not escape the paths, so that a comma or a colon in the root folder's name cuts the options apart."""


class OverlayMount:
    def by_option_string(self, links_descriptor):
        links = f"/proc/self/fd/{links_descriptor}"
        lowers = ":".join(f"{links}/{lower}" for lower in self.lowers)
        return ",".join(f"{key}={value}" for key, value in (("lowerdir", lowers), *self._upper_and_options()))

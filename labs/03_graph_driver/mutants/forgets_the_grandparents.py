"""Puts only the parent below a new layer, so that every image has two layers and no more."""


class ShortNames:
    def lay_on(self, folder, parent):
        (folder / _LOWER).write_text(f"{LINKS}/{self.of(parent)}")

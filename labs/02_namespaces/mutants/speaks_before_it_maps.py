"""Says that the maps are written before they are: init goes on as nobody, sometimes."""


class Parent:
    def _map(self, kernel, newborn, spec):
        try:
            dialogue.say(newborn.dialogue, dialogue.Mapped())
            if spec is not None:
                kernel.write_file(f"/proc/{newborn.pid}/gid_map", _id_map(spec.gid_map))
        except BaseException:
            bury(self._kernel, newborn)
            raise
        return newborn

"""Leaves a newborn alone when its maps are refused: a process waits for ever for a word that nobody will say."""


class Parent:
    def _map(self, kernel, newborn, spec):
        if spec is not None:
            kernel.write_file(f"/proc/{newborn.pid}/uid_map", _id_map(spec.uid_map))
            kernel.write_file(f"/proc/{newborn.pid}/gid_map", _id_map(spec.gid_map))
        dialogue.say(newborn.dialogue, dialogue.Mapped())
        return newborn

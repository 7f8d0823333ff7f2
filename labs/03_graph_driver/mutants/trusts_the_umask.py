"""Leaves an empty layer's mode to the umask: with 077 a container's users cannot enter their own root directory."""


class VfsDriver:
    def make_tree(self, tree, parent):
        before = os.umask(0o077)
        tree.mkdir()
        os.umask(before)
        if parent is not None:
            with as_stream(pack(parent, self.kernel)) as stream:
                unpack(stream, tree, self.kernel, whiteouts=WhiteoutForm.LITERAL)

"""Obeys whiteouts while it copies a whole tree: a file that happens to be named .wh.x deletes its neighbour x."""


class VfsDriver:
    def make_tree(self, tree, parent):
        tree.mkdir()
        if parent is None:
            os.chmod(tree, _EMPTY_MODE)
            return
        with as_stream(pack(parent, self.kernel)) as stream:
            unpack(stream, tree, self.kernel, whiteouts=WhiteoutForm.DELETE)

"""Writes the host's id first: the columns of an id map are inside, outside, length."""


def _id_map(maps):
    return "".join(f"{entry.host_id} {entry.container_id} {entry.size}\n" for entry in maps)

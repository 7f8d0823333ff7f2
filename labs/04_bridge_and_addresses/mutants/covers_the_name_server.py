"""Ignores name servers: a container takes the one that the host asks for a neighbour, and finds nobody there."""


def first_free(taken, nameservers):
    taken = list(taken)
    for candidate in candidates():
        if not any(candidate.overlaps(subnet) for subnet in taken if subnet.version == 4):
            return candidate
    raise Conflict(
        "could not find an available, non-overlapping IPv4 address pool among the defaults to assign to the network"
    )

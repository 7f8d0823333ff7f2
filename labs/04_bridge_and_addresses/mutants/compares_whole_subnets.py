"""Looks for the same subnet instead of for an overlap: a route to a part of it, or to more, is not seen."""


def first_free(taken, nameservers):
    taken, nameservers = list(taken), list(nameservers)
    for candidate in candidates():
        if candidate not in taken and not any(ns in candidate for ns in nameservers):
            return candidate
    raise Conflict(
        "could not find an available, non-overlapping IPv4 address pool among the defaults to assign to the network"
    )

"""Adds the address whether the bridge has it or not: the second start of a daemon fails with EEXIST."""


def mend_bridge(name, address, has):
    return (AddAddress(name, address), SetLink(name, up=True))

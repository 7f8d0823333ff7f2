"""Adds the new address and leaves the old one: the bridge answers in two subnets."""


def mend_bridge(name, address, has):
    return (*(() if address in has else (AddAddress(name, address),)), SetLink(name, up=True))

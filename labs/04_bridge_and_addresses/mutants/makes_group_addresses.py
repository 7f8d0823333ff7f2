"""Sets the lowest bit of the first byte: a group address, which no interface may have as its own."""


def mac_address(address):
    return (b"\x03\x42" + address.packed[-4:]).hex(":")

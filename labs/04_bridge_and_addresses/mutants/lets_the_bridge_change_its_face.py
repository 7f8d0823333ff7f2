"""Lets the kernel choose the bridge's hardware address: it changes with the first port, and neighbours lose their gateway."""


def make_bridge(name, address, mtu, mark):
    return (
        CreateBridge(name, "", mtu),
        SetLink(name, alias=mark),
        AddAddress(name, address),
        SetLink(name, up=True),
    )

"""Brings the bridge up before it has its address, and forgets the mark: after a crash nobody knows whose it is."""


def make_bridge(name, address, mtu, mark):
    return (
        CreateBridge(name, mac_address(address.ip), mtu),
        SetLink(name, up=True),
        AddAddress(name, address),
    )

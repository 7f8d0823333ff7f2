"""Makes the cable and plugs it into no bridge: the interface is there, and nobody hears it."""


def host_side(veth, interface, lease, bridge, mtu, isolated, sandbox):
    return (
        CreateVeth(veth, interface, sandbox.namespace, "", lease.mac_address, mtu),
        SetLink(veth, hairpin=True, isolated=True if isolated else None),
    )

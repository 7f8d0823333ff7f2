"""Leaves loopback down: programs in the container that talk to themselves fail, and nobody thinks of the network."""


def sandbox_side(interface, lease, default_route, ipv6):
    if lease.address is None:
        return ()
    orders = [
        *((SetLink(interface, link_local=False),) if ipv6 else ()),
        AddAddress(interface, lease.address),
        SetLink(interface, up=True),
    ]
    if default_route and lease.gateway is not None:
        orders.append(AddRoute(lease.gateway, interface))
    return tuple(orders)

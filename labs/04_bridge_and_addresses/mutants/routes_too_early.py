"""Adds the default route before the interface is up: the kernel knows no way to the gateway and answers ENETUNREACH."""


def sandbox_side(interface, lease, default_route, ipv6):
    if lease.address is None:
        return (SetLink("lo", up=True),)
    orders = [SetLink("lo", up=True)]
    if ipv6:
        orders.append(SetLink(interface, link_local=False))
    orders.append(AddAddress(interface, lease.address))
    if default_route and lease.gateway is not None:
        orders.append(AddRoute(lease.gateway, interface))
    orders.append(SetLink(interface, up=True))
    return tuple(orders)

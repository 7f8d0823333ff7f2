"""The contract suite of network drivers: the laws that every one of them keeps, whatever it connects with."""

from __future__ import annotations

import pytest

from mini_docker.drivers.networkdriver.contract import NetworkConfig, NetworkDriver
from mini_docker.errors import Conflict, Invalid, NotFound

NETWORK = "a" * 64


class NetworkDriverSuite:
    """Subclassed by each driver's tests, which give the fixture ``driver``: a new one, with nothing made."""

    @pytest.fixture
    def network(self, driver: NetworkDriver) -> NetworkConfig:
        """A network with all choices made."""
        return driver.create_network(NetworkConfig(NETWORK, "n"))

    def test_creating_again_changes_nothing(self, driver: NetworkDriver, network: NetworkConfig) -> None:
        """It is called at every start for networks that exist."""
        assert driver.create_network(network) == network

    def test_a_network_is_deleted_when_nobody_is_on_it(self, driver: NetworkDriver, network: NetworkConfig) -> None:
        """Conflict while somebody is; NotFound once it is gone; then it can be made again."""
        driver.lease(NETWORK, "e1")
        with pytest.raises(Conflict):
            driver.delete_network(NETWORK)
        driver.release("e1")
        driver.delete_network(NETWORK)
        with pytest.raises(NotFound):
            driver.delete_network(NETWORK)
        with pytest.raises(NotFound):
            driver.lease(NETWORK, "e1")
        assert driver.create_network(network) == network

    def test_no_address_is_leased_twice(self, driver: NetworkDriver, network: NetworkConfig) -> None:
        """Where there are addresses."""
        leases = [driver.lease(NETWORK, f"e{number}") for number in range(20)]
        addresses = [lease.address for lease in leases if lease.address]
        assert len(set(addresses)) == len(addresses)
        macs = [lease.mac_address for lease in leases if lease.mac_address]
        assert len(set(macs)) == len(macs)

    def test_what_is_not_held_may_be_released(self, driver: NetworkDriver, network: NetworkConfig) -> None:
        """Cleanup may be repeated, on every way out."""
        driver.lease(NETWORK, "e1")
        for _ in range(2):
            driver.unpublish("e1")
            driver.leave("e1", None)
            driver.release("e1")
        driver.unlink("e1", "e2", [("tcp", 80)])

    def test_an_endpoint_is_known_while_it_has_its_lease(self, driver: NetworkDriver, network: NetworkConfig) -> None:
        """What it tells is what the daemon writes down."""
        lease = driver.lease(NETWORK, "e1")
        assert driver.endpoint("e1").lease == lease
        assert "e1" in driver.describe(NETWORK)["endpoints"]
        driver.release("e1")
        with pytest.raises(NotFound):
            driver.endpoint("e1")

    def test_restored_endpoints_are_known_again(self, driver: NetworkDriver, network: NetworkConfig) -> None:
        """And their addresses are not given to others."""
        driver.lease(NETWORK, "e1")
        state = driver.endpoint("e1")
        driver.release("e1")
        driver.restore([state])
        assert driver.endpoint("e1") == state
        if state.lease.address is not None:
            with pytest.raises(Conflict):
                driver.lease(NETWORK, "e2", state.lease.address.ip)

    def test_a_nonsensical_wish_is_refused(self, driver: NetworkDriver, network: NetworkConfig) -> None:
        """Before anything is taken."""
        with pytest.raises(Invalid):
            driver.lease(NETWORK, "e1", mac_address="nonsense")
        driver.delete_network(NETWORK)

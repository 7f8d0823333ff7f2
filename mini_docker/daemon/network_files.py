"""The files by which a container's programs find names: /etc/hostname, /etc/hosts, /etc/resolv.conf.

They lie in the container's folder and are mounted over the image's. At each start they are written anew; while it
runs they are corrected, and what the container's own programs wrote into them stays: in hosts other lines, in
resolv.conf everything. Both is done in place: a mount shows the file that was there, not another of its name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from mini_docker.archive.ownership import give_to_root
from mini_docker.daemon.container.attachment import way_out
from mini_docker.daemon.container.container import Container
from mini_docker.daemon.container.networks import HOST, PREDEFINED
from mini_docker.daemon.container.spec import hostname_of
from mini_docker.daemon.settings import DaemonSettings
from mini_docker.dataclasses import replace
from mini_docker.drivers.networkdriver import hosts_file, resolv_conf
from mini_docker.drivers.networkdriver.hosts_file import Entry
from mini_docker.drivers.networkdriver.resolv_conf import HOST_RESOLV_CONF
from mini_docker.durable import write_file

HOST_HOSTS = Path("/etc/hosts")
EMBEDDED_DNS = "127.0.0.11"


class NetworkFiles:
    """Writes and corrects them. Stateless but for what it was told.

    Args:
        settings: with the daemon's flags about DNS.
        host_name: the host's own.
    """

    def __init__(self, settings: DaemonSettings, host_name: str) -> None:
        self._settings = settings
        self._host_name = host_name

    @staticmethod
    def places(container: Container) -> dict[str, str]:
        """Where they are: path in the container → path on the host."""
        return {
            "/etc/resolv.conf": str(container.resolv_conf_path),
            "/etc/hostname": str(container.hostname_path),
            "/etc/hosts": str(container.hosts_path),
        }

    def write(self, container: Container, linked_hosts: Sequence[Entry] = ()) -> None:
        """Write all three, for a container that is about to start and has its addresses.

        Args:
            linked_hosts: entries for /etc/hosts, of links.

        Raises:
            Invalid: an ``--add-host`` that is none.
        """
        hostname = self._hostname(container)
        conf = self._resolv_conf(container)
        for path, text in (
            (container.resolv_conf_path, conf),
            (container.hostname_path, hostname + "\n"),
            (container.hosts_path, self._hosts(container, hostname, linked_hosts)),
        ):
            _write(path, text)
            give_to_root(path, self._settings.ids)
        container.resolv_conf_hash = _hash(conf)

    def correct(self, container: Container) -> None:
        """Let the files of a running container say on which networks it is now."""
        hostname = self._hostname(container)
        own = self._own(container, hostname)
        names = hosts_file.own_names(hostname, container.config.domainname)
        hosts = _read(container.hosts_path)
        _rewrite(container.hosts_path, hosts, hosts_file.with_own(hosts, names, own))
        conf = _read(container.resolv_conf_path)
        if _hash(conf) == container.resolv_conf_hash:  # else its programs have written into it: it is theirs
            corrected = self._resolv_conf(container)
            _rewrite(container.resolv_conf_path, conf, corrected)
            container.resolv_conf_hash = _hash(corrected)

    def _hostname(self, container: Container) -> str:
        return hostname_of(container.id, container.config, container.host_config, self._host_name)

    def _hosts(self, container: Container, hostname: str, linked: Sequence[Entry]) -> str:
        place = way_out(container.attachments.values())
        gateway = place.endpoint.lease.gateway if place and place.endpoint else None
        extra = hosts_file.extra_entries(container.host_config.extra_hosts, gateway)
        if HOST in container.attachments:
            # It is at the host's place, so it knows whom the host knows.
            return _read(HOST_HOSTS) + "".join(f"{address}\t{' '.join(names)}\n" for address, names in extra)
        return hosts_file.text((*extra, *linked, *self._own(container, hostname)))

    @staticmethod
    def _own(container: Container, hostname: str) -> list[Entry]:
        leases = (place.endpoint.lease for place in container.attachments.values() if place.endpoint)
        domain = container.config.domainname
        return [hosts_file.own_entry(lease.address.ip, hostname, domain) for lease in leases if lease.address]

    def _resolv_conf(self, container: Container) -> str:
        host, settings = container.host_config, self._settings
        if HOST in container.attachments and not (host.dns or host.dns_search or host.dns_options):
            return _read(HOST_RESOLV_CONF)
        conf = resolv_conf.for_container(
            _read(HOST_RESOLV_CONF),
            host.dns or settings.dns,
            host.dns_search or settings.dns_search,
            host.dns_options or settings.dns_options,
        )
        if any(name not in PREDEFINED for name in container.attachments):
            # On a network of the user's names are asked of our own server, which asks the others.
            # A neighbour's bare name is asked as it is first, unless somebody set what "bare" means.
            said = any(option.startswith("ndots:") for option in conf.options)
            options = conf.options if said else (*conf.options, "ndots:0")
            conf = replace(conf, nameservers=(EMBEDDED_DNS,), options=options)
        return conf.text()


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _write(path: Path, text: str) -> None:
    # A crash may leave a part of it: the next start writes it anew.
    write_file(path, text.encode(), durable=False)


def _rewrite(path: Path, old: str, new: str) -> None:
    if old and new != old:  # without content it was never written: such a container has another's files, or none
        path.write_text(new)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""

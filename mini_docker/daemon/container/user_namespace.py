"""Which containers live in a user namespace, and what they then cannot have. Pure.

Source: Docker's ``daemon/daemon_unix.go`` (verifyPlatformContainerSettings), whose words the refusals are.
"""

from __future__ import annotations

from mini_docker.daemon.container.host_config import HostConfig
from mini_docker.errors import Invalid
from mini_docker.linux.id_mapping import IdMapping

HOST = "host"


def has_user_namespace(host: HostConfig, ids: IdMapping) -> bool:
    """Whether the container's users are others on the host: by the daemon's ``--userns-remap``, if it does not say
    ``--userns=host``."""
    return bool(ids) and host.userns_mode != HOST


def refuse_host_namespaces(host: HostConfig) -> None:
    """Say no to what only the host's own root may do.

    Raises:
        Invalid: in Docker's words.
    """
    if host.privileged:
        raise Invalid(
            "privileged mode is incompatible with user namespaces.  "
            "You must run the container in the host namespace when running privileged mode"
        )
    if host.network_mode == HOST:
        raise Invalid("cannot share the host's network namespace when user namespaces are enabled")
    if host.pid_mode == HOST:
        raise Invalid("cannot share the host PID namespace when user namespaces are enabled")

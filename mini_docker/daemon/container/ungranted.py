"""Ungranted wishes: what may be asked of Docker and is not to be had here, said at the counter and not found out later.

What a container would be wrong without is refused; what it runs well without is warned of. Pure, and it knows
nothing of how the granted wishes come true.

Source: the words of Docker's daemon where it lacks the same (a plugin, a device driver, user remapping).
"""

from __future__ import annotations

from mini_docker.daemon.container.config import ContainerConfig
from mini_docker.daemon.container.host_config import HostConfig
from mini_docker.errors import Invalid, NotFound, Unsupported

NO_HEALTHCHECK = ("NONE",)
"""What ``--no-healthcheck`` sends."""


def refuse_ungranted(host: HostConfig) -> None:
    """Say no to what would make another container than the one that was ordered.

    Raises:
        Invalid: a mode that Linux has not. NotFound: a volume driver that nobody has. Unsupported: all else.
    """
    if host.isolation not in ("", "default"):
        raise Invalid(f'invalid isolation "{host.isolation}" on linux: only "default" is')
    if host.userns_mode not in ("", "host"):
        raise Invalid(f"invalid user namespace mode: {host.userns_mode!r}: only 'host' is")
    if host.device_requests:
        first = host.device_requests[0]
        driver = first.get("Driver") or "" if isinstance(first, dict) else ""
        capabilities = first.get("Capabilities") or [] if isinstance(first, dict) else []
        wanted = " ".join(f"[{' '.join(map(str, group))}]" for group in capabilities if isinstance(group, list))
        raise Unsupported(f'could not select device driver "{driver}" with capabilities: [{wanted}]')
    drivers = [host.volume_driver, *(request.volume_options.driver_config.name for request in host.mounts)]
    for name in drivers:
        if name not in ("", "local"):
            raise NotFound(f'error looking up volume plugin {name}: plugin "{name}" not found')
    for request in host.mounts:
        for option in request.volume_options.driver_config.options:
            raise Unsupported(f'invalid mount config: volume option "{option}": local volumes take none here')


def ungranted_warnings(config: ContainerConfig, host: HostConfig) -> list[str]:
    """A sentence for each wish that is let go and that the container runs without."""
    warnings = []
    if config.healthcheck is not None and config.healthcheck.test not in ((), NO_HEALTHCHECK):
        warnings.append("Health checks are not run here: the container will never be called healthy or unhealthy.")
    if host.kernel_memory_tcp:
        warnings.append("A limit of kernel memory for TCP cannot be kept here. Limitation discarded.")
    return warnings

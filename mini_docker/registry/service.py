"""The RegistryService: what this daemon knows of registries between one conversation and the next.

Connections that are still open, tickets that are still good, which challenge an endpoint puts to
strangers. A `Session` is one conversation; it is cheap, for all that is costly is kept here.

It knows no images and no layers. Source: classic Docker's ``registry/service.go``.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from mini_docker.registry.auth import TokenCache
from mini_docker.registry.challenge import Challenge
from mini_docker.registry.credentials import Credentials
from mini_docker.registry.endpoints import CertsVersion, Endpoint, RegistryConfig
from mini_docker.registry.patience import Cancellation, RetryPolicy, Timeouts
from mini_docker.registry.reference import Reference
from mini_docker.registry.session import Session

if TYPE_CHECKING:
    from mini_docker.registry.transport import Transport

USER_AGENT = "mini-docker"


class RegistryService:
    """Makes sessions. Threads may share it.

    *Fixed*: ``config``, ``retries``, ``tokens`` (which guards itself).
    *Guarded by the lock*: transports and challenges by endpoint.
    """

    def __init__(
        self,
        config: RegistryConfig | None = None,
        retries: RetryPolicy | None = None,
        timeouts: Timeouts | None = None,
        user_agent: str = USER_AGENT,
    ) -> None:
        self.config = config or RegistryConfig()
        self.retries = retries or RetryPolicy()
        self.tokens = TokenCache()
        self._timeouts = timeouts or Timeouts()
        self._user_agent = user_agent
        self._lock = threading.Lock()
        self._transports: dict[Endpoint, tuple[CertsVersion, Transport]] = {}
        self._challenges: dict[str, list[Challenge]] = {}

    def session(
        self,
        reference: Reference,
        credentials: Credentials | None = None,
        *,
        push: bool = False,
        mount_from: str = "",
        endpoint: str = "",
        cancellation: Cancellation | None = None,
    ) -> Session:
        """Begin a conversation about the repository of *reference*; nothing is sent yet.

        Args:
            push: whether it shall write.
            mount_from: another repository of the same registry from which blobs may be taken over.
            endpoint: the URL of the endpoint that answered an earlier conversation: it is tried first.
            cancellation: cuts the conversation short.
        """
        plan = self.config.for_push(reference.domain) if push else self.config.for_pull(reference.domain)
        # A stable sort: the known good one moves to the front, the others keep their order.
        endpoints = sorted(plan, key=lambda candidate: candidate.url != endpoint)
        who, cut = credentials or Credentials(), cancellation or Cancellation()
        return Session(self, reference, who, endpoints, push, cut, mount_from)

    def transport(self, endpoint: Endpoint) -> Transport:
        """The one transport to *endpoint*, so that connections are used again; a new one when its certificates change.

        Raises:
            Invalid: its certificate folder is broken.
        """
        from mini_docker.registry.transport import Transport

        version = endpoint.certs_version()
        with self._lock:
            known, transport = self._transports.get(endpoint, (version, None))
            if transport is None or known != version:
                # Sessions that have the old one end with it; its idle connections end with the last of them.
                transport = Transport(endpoint, self._user_agent, self._timeouts)
                self._transports[endpoint] = version, transport
            return transport

    def challenges(self, endpoint: Endpoint) -> list[Challenge] | None:
        """What *endpoint* asks of strangers; None when it was not asked yet, empty when it asks nothing."""
        with self._lock:
            return self._challenges.get(endpoint.url)

    def remember(self, endpoint: Endpoint, challenges: list[Challenge]) -> None:
        """Keep what *endpoint* asks of strangers, so that the next request brings the answer along."""
        with self._lock:
            self._challenges[endpoint.url] = challenges

    def close(self) -> None:
        """Close all idle connections."""
        with self._lock:
            for _, transport in self._transports.values():
                transport.close()
            self._transports.clear()

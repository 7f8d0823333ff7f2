"""A Conversation: requests to one endpoint as one caller, patient and with the right tickets.

It answers challenges, waits when asked to, and tries again what may do better. It knows the wire,
not what the requests are about.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urljoin

from mini_docker.errors import Unauthorized
from mini_docker.registry.auth import Authorizer, TokenCache
from mini_docker.registry.challenge import Challenge, parse_challenges
from mini_docker.registry.credentials import Credentials
from mini_docker.registry.endpoints import Endpoint
from mini_docker.registry.errors import RegistryError, Unreachable, refusal
from mini_docker.registry.patience import Cancellation, RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mini_docker.registry.transport import Body, Response, Transport


class Memory(Protocol):
    """What outlives a conversation; `RegistryService` is one."""

    retries: RetryPolicy
    tokens: TokenCache

    def transport(self, endpoint: Endpoint) -> Transport:
        """The transport to an endpoint."""

    def challenges(self, endpoint: Endpoint) -> list[Challenge] | None:
        """What it asks of strangers."""

    def remember(self, endpoint: Endpoint, challenges: list[Challenge]) -> None:
        """Keep what it asks of strangers."""


class Conversation:
    """Requests to one endpoint.

    Args:
        memory: what outlives the conversation.
        credentials: who the caller is. A mirror is never told: it only copies for someone else.
        scopes: what tickets shall be good for.
    """

    def __init__(
        self,
        memory: Memory,
        endpoint: Endpoint,
        credentials: Credentials,
        scopes: tuple[str, ...],
        cancellation: Cancellation,
    ) -> None:
        self.endpoint = endpoint
        self.scopes = scopes
        self._memory = memory
        self._cancellation = cancellation
        self._transport = memory.transport(endpoint)
        known = Credentials() if endpoint.mirror else credentials
        self._authorizer = Authorizer(self._transport, known, memory.tokens)

    def ping(self) -> None:
        """Ask ``/v2/`` whether a registry is here, and what it asks of strangers; free when that is known.

        Raises:
            Unreachable: no registry of version 2 is here.
        """
        if self._memory.challenges(self.endpoint) is not None:
            return
        url = f"{self.endpoint.url}/v2/"
        for failures in range(1, self._memory.retries.attempts + 1):
            self._cancellation.check()
            response = self._transport.request("GET", url, cancellation=self._cancellation)
            body = response.read_small()
            if response.status in (200, 401):
                self._memory.remember(self.endpoint, _challenges(response) if response.status == 401 else [])
                return
            refused = refusal(response.status, body, f"GET {url}", _retry_after(response))
            if not self._may_retry(refused, failures):
                raise Unreachable(f'Get "{url}": {refused}') from refused
            self._pause(refused, failures)

    def request(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
        *,
        repeatable: bool = True,
        accepted: Sequence[int] = (200,),
    ) -> Response:
        """Make a request until it is accepted or finally refused. The answer's body is the caller's to read.

        Args:
            path: below the endpoint; or a whole URL, as ``Location`` headers give.
            repeatable: whether it may be sent again when it is not known how it ended.
            accepted: the statuses that mean success.

        Raises:
            RegistryError: it was refused. Unreachable: no answer came. Unauthorized: the caller gave no proof.
            Cancelled: nobody wants it any more.
        """
        url = urljoin(self.endpoint.url + "/", path)
        trusted = url.startswith(self.endpoint.url + "/")
        failures = 0
        refreshed = False
        while True:
            self._cancellation.check()
            authorization = self._authorization() if trusted else ""
            sent = {**(headers or {}), **({"Authorization": authorization} if authorization else {})}
            try:
                response = self._transport.request(method, url, sent, body, self._cancellation)
            except Unreachable:
                self._cancellation.check()
                failures += 1
                if not repeatable or failures >= self._memory.retries.attempts:
                    raise
                self._cancellation.sleep(self._memory.retries.pause(failures))
                continue
            if response.status in accepted:
                return response
            refused = refusal(response.status, response.read_small(), f"{method} {url}", _retry_after(response))
            if response.status == 401 and trusted:
                challenges = _challenges(response)
                if refreshed or not challenges:
                    raise _as_denied(refused, challenges)
                # The ticket is over, or good for less than this; a new one is asked for once.
                refreshed = True
                self._authorizer.refused(authorization)
                self._memory.remember(self.endpoint, challenges)
                continue
            failures += 1
            if not repeatable or not self._may_retry(refused, failures):
                raise refused
            self._pause(refused, failures)

    def authorizer(self) -> tuple[Authorizer, list[Challenge]]:
        """Who writes the tickets here, and what it is asked: for a login."""
        return self._authorizer, self._memory.challenges(self.endpoint) or []

    def _authorization(self) -> str:
        challenges = self._memory.challenges(self.endpoint) or []
        try:
            return self._authorizer.header(challenges, self.scopes)
        except Unauthorized as error:
            raise Unauthorized(f'Get "{self.endpoint.url}/v2/": {error}') from error

    def _may_retry(self, refused: RegistryError, failures: int) -> bool:
        policy = self._memory.retries
        waits = refused.retry_after is None or refused.retry_after <= policy.longest_asked
        return refused.worth_retrying and waits and failures < policy.attempts

    def _pause(self, refused: RegistryError, failures: int) -> None:
        asked = refused.retry_after
        self._cancellation.sleep(self._memory.retries.pause(failures) if asked is None else asked)


def _challenges(response: Response) -> list[Challenge]:
    return parse_challenges(response.header_values("WWW-Authenticate"))


def _as_denied(refused: RegistryError, challenges: list[Challenge]) -> RegistryError:
    """A ticket that is good, but not for this, means: not allowed (RFC 6750, section 3.1)."""
    for challenge in challenges:
        if challenge.get("error") == "insufficient_scope":
            said = challenge.get("error_description") or "requested access to the resource is denied"
            return RegistryError(refused.status, "DENIED", said)
    return refused


def _retry_after(response: Response) -> float | None:
    """Seconds: the header holds a number, or a date (RFC 9110, section 10.2.3)."""
    text = response.headers.get("Retry-After", "").strip()
    if not text:
        return None
    if text.isdigit():
        return float(text)
    import email.utils  # few registries give dates, and every daemon would hold 0.3 MB of mail for it

    parsed = email.utils.parsedate_tz(text)
    return None if parsed is None else max(0.0, email.utils.mktime_tz(parsed) - time.time())

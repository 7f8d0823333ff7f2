"""The restart policy, and the monitor that decides: after this end of a container, what next?

Pure decisions from numbers; it knows no clocks, threads or containers.

Source: Docker's ``restartmanager/restartmanager.go``; classic Docker's ``daemon/monitor.go``.
"""

from __future__ import annotations

from mini_docker.dataclasses import dataclass
from mini_docker.errors import Invalid

POLICIES = ("", "no", "always", "on-failure", "unless-stopped")

FIRST_BACKOFF_SECONDS = 0.1
MAX_BACKOFF_SECONDS = 60.0
GOOD_RUN_SECONDS = 10.0
"""A run longer than this was a success: the next backoff starts from the first again."""


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """When a container that ended is started again.

    Attributes:
        name: no (or empty), always, on-failure, unless-stopped.
        maximum_retry_count: for on-failure; 0 is without end.
    """

    name: str = ""
    maximum_retry_count: int = 0

    @property
    def restarts(self) -> bool:
        """Whether it ever restarts anything."""
        return self.name not in ("", "no")

    def check(self) -> None:
        """
        Raises:
            Invalid: an unknown name, or a retry count where none belongs.
        """
        if self.name not in POLICIES:
            raise Invalid(f"invalid restart policy '{self.name}'")
        if self.maximum_retry_count and self.name != "on-failure":
            raise Invalid(f"maximum retry count cannot be used with restart policy '{self.name or 'no'}'")
        if self.maximum_retry_count < 0:
            raise Invalid("maximum retry count cannot be negative")


@dataclass(frozen=True, slots=True)
class RestartMonitor:
    """The memory between two ends of one container: how many restarts, and the next backoff.

    A frozen value: `after` returns the decision together with the monitor to ask next time.
    """

    restarts: int = 0
    backoff_seconds: float = FIRST_BACKOFF_SECONDS

    def after(
        self, policy: RestartPolicy, exit_code: int, ran_seconds: float, stopped_by_user: bool
    ) -> tuple[float | None, RestartMonitor]:
        """Decide after an end.

        Args:
            ran_seconds: how long the container ran this time.
            stopped_by_user: it was told to stop (or killed); no policy brings such a one back by itself.

        Returns:
            seconds to wait before the restart, or None for none; and the monitor for the next time.
        """
        backoff = FIRST_BACKOFF_SECONDS if ran_seconds > GOOD_RUN_SECONDS else self.backoff_seconds
        restarts = 0 if ran_seconds > GOOD_RUN_SECONDS else self.restarts
        if stopped_by_user or not self._wants(policy, exit_code, restarts):
            return None, RestartMonitor()
        return backoff, RestartMonitor(restarts + 1, min(backoff * 2, MAX_BACKOFF_SECONDS))

    @staticmethod
    def _wants(policy: RestartPolicy, exit_code: int, restarts: int) -> bool:
        match policy.name:
            case "always" | "unless-stopped":
                return True
            case "on-failure":
                return exit_code != 0 and (policy.maximum_retry_count == 0 or restarts < policy.maximum_retry_count)
            case _:
                return False


def starts_with_daemon(policy: RestartPolicy, stopped_by_user: bool, exit_code: int) -> bool:
    """Whether a container that does not run is started when the daemon starts.

    ``always`` is, even after a stop by the user: the one difference from ``unless-stopped``.
    """
    match policy.name:
        case "always":
            return True
        case "unless-stopped":
            return not stopped_by_user
        case "on-failure":
            return exit_code != 0 and not stopped_by_user
        case _:
            return False

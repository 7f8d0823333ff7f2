"""The rule book: which firewall rules shall hold. The packet filter is where a copy of it is posted.

Every change is written here and posted. Nothing is posted before the first `post`, so that a new daemon
can write down all that shall hold while the copy of the one before it still stands. When posting fails,
or a look shows that another tool tore the copy down, the whole book is posted again. It knows rules as
values only, not what they are for.
"""

from __future__ import annotations

import logging
import threading

from mini_docker.linux.firewall import Firewall, FirewallError, Rule

log = logging.getLogger(__name__)


class RuleBook:
    """The rules that shall hold, in the order in which they were written.

    *Fixed*: the firewall door.
    *Guarded by the lock*: the rules, and the firewall door for the time of a change, so that posts
    keep the order of the book.
    """

    def __init__(self, firewall: Firewall) -> None:
        self._firewall = firewall
        self._lock = threading.Lock()
        self._rules: dict[Rule, None] = {}  # a set that keeps its order
        self._posted = False

    def add(self, *rules: Rule) -> None:
        """Let these hold too. On failure none of them does.

        Raises:
            FirewallError: the packet filter refuses.
        """
        with self._lock:
            new = [rule for rule in rules if rule not in self._rules]
            self._rules.update(dict.fromkeys(new))
            try:
                self._post_addition(new)
            except Exception:
                for rule in new:
                    del self._rules[rule]
                raise

    def delete(self, *rules: Rule) -> None:
        """Let these no longer hold; those that do not are no error.

        Raises:
            FirewallError: the packet filter refuses. They are out of the book all the same.
        """
        with self._lock:
            old = [rule for rule in rules if rule in self._rules]
            for rule in old:
                del self._rules[rule]
            if not old or not self._posted:
                return
            try:
                self._firewall.delete(old)
            except FirewallError as error:
                log.warning("firewall rules were not as they should be, putting them back: %s", error)
                self._firewall.install(list(self._rules))

    def post(self) -> None:
        """Post the book for the first time, in place of what an earlier daemon left; later calls do nothing.

        Raises:
            FirewallError: the packet filter refuses.
        """
        with self._lock:
            if not self._posted:
                self._firewall.install(list(self._rules))
                self._posted = True

    def mend(self) -> bool:
        """Post the book again if something of it is missing; whether that was so.

        Raises:
            FirewallError: the packet filter refuses.
        """
        with self._lock:
            if not self._posted or not (missing := self._firewall.missing(list(self._rules))):
                return False
            log.warning("%d firewall rules were removed by another tool, putting them back", len(missing))
            self._firewall.install(list(self._rules))
            return True

    def close(self) -> None:
        """Take all rules down and forget them.

        Raises:
            FirewallError: the packet filter refuses.
        """
        with self._lock:
            self._rules = {}
            self._posted = False
            self._firewall.remove()

    def rules(self) -> tuple[Rule, ...]:
        """The rules that shall hold."""
        with self._lock:
            return tuple(self._rules)

    def _post_addition(self, new: list[Rule]) -> None:
        if not self._posted or not new:
            return
        try:
            self._firewall.add(new)
        except FirewallError as error:
            log.warning("firewall rules were not as they should be, putting them back: %s", error)
            self._firewall.install(list(self._rules))

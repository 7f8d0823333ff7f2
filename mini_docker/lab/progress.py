"""Progress: a diary that only grows. One line an event; what is known is what all lines say together.

Lines have no order of importance and are never changed, so that two machines' diaries merge by taking every line of
both: git does that by itself (``merge=union``), and so does `merge_from`. It knows nothing of what a lab is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from mini_docker.dataclasses import asdict, dataclass
from mini_docker.errors import Invalid

STARTED, PASSED, FAILED, HINT, SKIPPED, SOLVED = "started", "passed", "failed", "hint", "skipped", "solved"
EVENTS = (STARTED, PASSED, FAILED, HINT, SKIPPED, SOLVED)


@dataclass(frozen=True, slots=True, order=True)
class Event:
    """Something that happened in a lab.

    Attributes:
        at: when, in UTC, as ISO 8601.
        lab: the lab's name.
        what: one of `EVENTS`.
        detail: which kind of checks passed or failed; which function's hint was shown, and its tier.
    """

    at: str
    lab: str
    what: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a learner stands in one lab: what its events say together.

    Attributes:
        word: ``new``, ``started``, ``skipped``, ``passed``, or ``passed in part``.
        hints: how many tiers were shown.
        solved: whether our solution was looked at before the lab was passed.
        tries: how many checks failed before it was passed.
    """

    word: str
    hints: int = 0
    solved: bool = False
    tries: int = 0


class Progress:
    """The diary in a file.

    Args:
        path: of the file, which may not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def events(self) -> list[Event]:
        """All that happened, oldest first.

        Raises:
            Invalid: a line is no event.
        """
        try:
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return []
        return sorted(set(_parse(text.splitlines(), self.path)))

    def note(self, lab: str, what: str, detail: str = "") -> None:
        """Add one line."""
        assert what in EVENTS
        event = Event(datetime.now(UTC).isoformat(timespec="milliseconds"), lab, what, detail)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, "a", encoding="utf-8") as diary:
            diary.write(_line(event))

    def merge_from(self, other: Path) -> int:
        """Take over what another machine's diary says; returns how many lines were new.

        Raises:
            Invalid: it is no diary.
        """
        known = set(self.events())
        new = sorted(set(Progress(other).events()) - known)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, "a", encoding="utf-8") as diary:
            diary.writelines(_line(event) for event in new)
        return len(new)

    def standing(self, lab: str, kinds: Iterable[str]) -> Standing:
        """Where the learner stands in a lab that has checks of these *kinds*."""
        mine = [event for event in self.events() if event.lab == lab]
        passed_at: dict[str, str] = {}
        for event in mine:
            if event.what == PASSED:
                passed_at.setdefault(event.detail, event.at)
        end = max(passed_at.values()) if passed_at.keys() >= set(kinds) else ""
        before = [event for event in mine if not end or event.at <= end]
        said = {event.what for event in mine}
        word = (
            "passed" if end
            else "passed in part" if passed_at
            else "skipped" if SKIPPED in said
            else "started" if STARTED in said
            else "new"
        )  # fmt: skip
        counts = [event.what for event in before]
        return Standing(word, counts.count(HINT), SOLVED in counts, counts.count(FAILED))


def _line(event: Event) -> str:
    return json.dumps(asdict(event), ensure_ascii=False) + "\n"


def _parse(lines: Iterable[str], path: Path) -> Iterable[Event]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            yield Event(**json.loads(line))
        except (ValueError, TypeError):
            raise Invalid(f"{path}:{number}: no line of a diary: {line[:60]!r}") from None

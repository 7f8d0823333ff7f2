"""The spare folder: what is filled ahead goes to who asks for the same, and nothing is lost or given twice."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mini_docker.drivers.graphdriver.background import Background
from mini_docker.drivers.graphdriver.spare_folder import Ground, SpareFolder
from mini_docker.errors import NotFound


class TurnByTurn(Background):
    """A background that does the next task when it is told to."""

    def __init__(self) -> None:
        super().__init__("test")
        self.tasks: deque[Callable[[], None]] = deque()

    def put(self, task: Callable[[], None]) -> None:
        self.tasks.append(task)

    def work(self) -> None:
        """Do all that is to do."""
        while self.tasks:
            self.tasks.popleft()()


class Shelf:
    """Makes folders that are only names, and keeps book of where each of them is."""

    def __init__(self) -> None:
        self.background = TurnByTurn()
        self.filled: dict[Path, str | None] = {}
        self.discarded: list[Path] = []
        self.full = False
        self.spare = SpareFolder(self.fill, self.discarded.append, self.background)

    def fill(self, parent: str | None) -> Path:
        """A folder on *parent*; a full disk says no."""
        if self.full:
            raise OSError("the disk is full")
        folder = Path(f"{parent}.{len(self.filled)}")
        self.filled[folder] = parent
        return folder

    def prepared(self, *grounds: Ground) -> list[Path]:
        """Take a folder on each, one after the other, with time to prepare after each."""
        taken = []
        for ground in grounds:
            taken.append(self.spare.take(ground))
            self.spare.prepare()
            self.background.work()
        return taken


A, B = Ground("a", 1), Ground("b", 1)


def test_the_second_on_the_same_ground_is_followed_by_a_spare() -> None:
    shelf = Shelf()
    shelf.prepared(A, A)
    assert len(shelf.filled) == 3
    assert shelf.spare.take(A) == Path("a.2") and len(shelf.filled) == 3


def test_steps_of_a_build_order_none() -> None:
    """Each stands on another layer: what would be prepared would be thrown away."""
    shelf = Shelf()
    shelf.prepared(A, B, A, B)
    assert len(shelf.filled) == 4 and shelf.discarded == []


def test_a_spare_that_nobody_wants_is_discarded() -> None:
    shelf = Shelf()
    shelf.prepared(A, A, B)
    assert shelf.discarded == [Path("a.2")]


def test_a_parent_that_is_made_again_is_another_parent() -> None:
    """What was filled before names layers below that are gone."""
    shelf = Shelf()
    shelf.prepared(A, A)
    assert shelf.spare.take(Ground("a", 2)) == Path("a.3")
    shelf.background.work()
    assert shelf.discarded == [Path("a.2")]


def test_a_parent_that_goes_takes_its_spare_along() -> None:
    """Also one that is just being filled."""
    shelf = Shelf()
    shelf.prepared(A, A)
    shelf.spare.leave("b")
    shelf.spare.leave("a")
    shelf.background.work()
    assert shelf.discarded == [Path("a.2")]

    def fill_and_leave(parent: str | None) -> Path:
        folder = shelf.fill(parent)
        spare.leave("a")
        return folder

    spare = SpareFolder(shelf.fill, shelf.discarded.append, shelf.background)
    spare.take(A)
    spare.take(A)
    spare._fill = fill_and_leave
    spare.prepare()
    shelf.background.work()
    assert shelf.discarded == [Path("a.2"), Path("a.5")]


def test_a_disk_that_is_full_is_no_news_before_somebody_asks() -> None:
    shelf = Shelf()
    shelf.prepared(A, A)
    shelf.spare.take(A)
    shelf.full = True
    shelf.spare.prepare()
    shelf.background.work()
    shelf.full = False
    assert shelf.spare.take(A) == Path("a.3")


class SpareMachine(RuleBasedStateMachine):
    """Everybody gets a folder on the ground that he stands on; every folder is in one hand."""

    def __init__(self) -> None:
        super().__init__()
        self.shelf = Shelf()
        self.births = {"a": 1, "b": 1}
        self.birth_of: dict[Path, int] = {}
        self.taken: list[Path] = []
        self.shelf.spare = SpareFolder(self.fill, self.shelf.discarded.append, self.shelf.background)

    def fill(self, parent: str | None) -> Path:
        """As the shelf, and remember which of that name was the parent then."""
        if parent is not None and parent not in self.births:
            raise NotFound(f"no such layer: {parent}")
        folder = self.shelf.fill(parent)
        self.birth_of[folder] = self.births.get(parent or "", 0)
        return folder

    @rule(parent=st.sampled_from(["a", "b", None]))
    def take(self, parent: str | None) -> None:
        """A layer is made."""
        birth = self.births.get(parent or "", 0)
        folder = self.shelf.spare.take(Ground(parent, birth))
        assert self.shelf.filled[folder] == parent and self.birth_of[folder] == birth
        self.taken.append(folder)

    @rule(parent=st.sampled_from(["a", "b"]))
    def replace_parent(self, parent: str) -> None:
        """A parent goes, and comes again before the spare heard of it."""
        self.births[parent] += 1

    @rule(parent=st.sampled_from(["a", "b"]))
    def leave(self, parent: str) -> None:
        """A parent goes, and comes again after that."""
        self.shelf.spare.leave(parent)
        self.births[parent] += 1

    @rule()
    def prepare(self) -> None:
        """Nobody waits just now."""
        self.shelf.spare.prepare()

    @precondition(lambda self: self.shelf.background.tasks)
    @rule()
    def work(self) -> None:
        """The background does one thing."""
        self.shelf.background.tasks.popleft()()

    @invariant()
    def no_folder_is_in_two_hands(self) -> None:
        """Nor twice in one."""
        hands = [*self.taken, *self.shelf.discarded]
        assert len(hands) == len(set(hands))

    def teardown(self) -> None:
        """In the end all but one spare are taken or discarded."""
        self.shelf.background.work()
        assert len(self.shelf.filled) - len(self.taken) - len(self.shelf.discarded) <= 1


TestSpareMachine = SpareMachine.TestCase

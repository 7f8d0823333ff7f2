"""Which driver is chosen: four rules in order, with drivers that are nothing but a name and an answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mini_docker.drivers.availability import AVAILABLE, Availability
from mini_docker.drivers.graphdriver.contract import GraphDriver
from mini_docker.drivers.graphdriver.selection import (
    KNOWN,
    PRIORITY,
    GraphDriverFactory,
    Reason,
    select_driver,
    used_drivers,
)
from mini_docker.errors import Conflict, Invalid, Unsupported


class Named:
    """A driver that knows its name and whether it works."""

    def __init__(self, name: str, reason: str) -> None:
        self.name = name
        self._availability = Availability(reason) if reason else AVAILABLE

    def available(self) -> Availability:
        return self._availability


def table(**reasons: str) -> dict[str, GraphDriverFactory]:
    """Factories of drivers by name, with the reason why each does not work (or "")."""

    def factory(name: str, reason: str) -> GraphDriverFactory:
        return lambda: cast(GraphDriver, cast(Any, Named(name, reason)))

    return {name: factory(name, reason) for name, reason in reasons.items()}


ALL_WORK = table(overlay="", btrfs="", vfs="")


def test_the_environment_wins() -> None:
    """DOCKER_DRIVER, then -s, then what was used before: as in Docker."""
    chosen = select_driver(ALL_WORK, environment="vfs", flag="btrfs", used=("overlay",))
    assert (chosen.driver.name, chosen.reason) == ("vfs", Reason.ENVIRONMENT)
    chosen = select_driver(ALL_WORK, flag="btrfs", used=("overlay",))
    assert (chosen.driver.name, chosen.reason) == ("btrfs", Reason.FLAG)
    chosen = select_driver(ALL_WORK, used=("vfs",))
    assert (chosen.driver.name, chosen.reason) == ("vfs", Reason.USED_BEFORE)
    chosen = select_driver(ALL_WORK)
    assert (chosen.driver.name, chosen.reason) == ("overlay", Reason.BEST)


def test_a_root_folder_used_with_another_driver_says_so() -> None:
    """The user's images are not gone, only not seen: the warning says with which driver they will be."""
    warning = select_driver(ALL_WORK, flag="vfs", used=("overlay", "vfs")).warning
    assert "overlay" in warning and "-s overlay" in warning
    assert select_driver(ALL_WORK, used=("overlay",)).warning == ""


def test_several_used_before_want_a_word() -> None:
    """Guessing would hide half of the user's images."""
    with pytest.raises(Conflict, match="several graphdrivers: overlay, vfs"):
        select_driver(ALL_WORK, used=("overlay", "vfs"))


def test_what_is_asked_for_and_does_not_work_is_not_replaced() -> None:
    """An order is an order: the reason is given, and no other driver taken in silence."""
    drivers = table(overlay="no xattrs there", vfs="")
    for arguments in ({"environment": "overlay"}, {"flag": "overlay"}, {"used": ("overlay",)}):
        with pytest.raises(Unsupported, match=r"overlay cannot work here.*no xattrs there"):
            select_driver(drivers, **cast(Any, arguments))


def test_unknown_names_and_drivers_of_other_builds() -> None:
    """A name that is none is the user's mistake; a known driver that is missing is the build's."""
    with pytest.raises(Invalid, match=r"'zfs'.*overlay, btrfs, vfs"):
        select_driver(ALL_WORK, flag="zfs")
    with pytest.raises(Unsupported, match="aufs is not part of this build"):
        select_driver(ALL_WORK, flag="aufs")


def test_dockers_name_for_overlay_is_understood() -> None:
    """Scripts that say -s overlay2 get what they mean."""
    assert select_driver(ALL_WORK, flag="overlay2").driver.name == "overlay"


def test_nothing_works() -> None:
    """Every reason is told."""
    with pytest.raises(Unsupported, match="overlay: one; vfs: two"):
        select_driver(table(overlay="one", vfs="two"))


def test_options_of_a_driver_that_cannot_work_do_not_hide_its_reason() -> None:
    """The next ones know none of them, which is no news; a word that no driver knows is."""

    def knows_no_options() -> GraphDriver:
        raise Invalid("unknown option overlay.size")

    factories = {**table(overlay="no quotas on this file system"), "btrfs": knows_no_options, "vfs": knows_no_options}
    with pytest.raises(Unsupported, match="overlay: no quotas on this file system; btrfs: unknown option"):
        select_driver(factories)
    with pytest.raises(Invalid, match="unknown option"):
        select_driver(dict.fromkeys(("overlay", "vfs"), knows_no_options))


@given(st.dictionaries(st.sampled_from(KNOWN), st.sampled_from(["", "broken"]), min_size=1))
def test_the_first_that_works_is_the_best(reasons: dict[str, str]) -> None:
    """With no order given, the choice is the first of the priority list that says it works, or an error."""
    working = [name for name in PRIORITY if reasons.get(name) == ""]
    if working:
        assert select_driver(table(**reasons)).driver.name == working[0]
    else:
        with pytest.raises(Unsupported):
            select_driver(table(**reasons))


def test_a_folder_with_something_in_it_was_used(tmp_path: Path) -> None:
    """An empty folder is no sign of use, nor is one of no driver's."""
    (tmp_path / "overlay" / "layer").mkdir(parents=True)
    (tmp_path / "vfs").mkdir()
    (tmp_path / "graph" / "x").mkdir(parents=True)
    (tmp_path / "btrfs").touch()
    assert used_drivers(tmp_path) == ("overlay",)
    assert used_drivers(tmp_path / "missing") == ()

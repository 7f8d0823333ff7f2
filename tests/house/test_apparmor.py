"""AppArmor: a profile that the administrator loaded confines a container's processes, on a kernel that has it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.house import House

PROFILE = f"mini-docker-test-{os.getpid()}"
# attach_disconnected: the container's root is a mount that no path of the host's leads to.
TEXT = f"""
profile {PROFILE} flags=(attach_disconnected,mediate_deleted) {{
  file,
  capability,
  network,
  signal,
  deny /etc/passwd r,
}}
"""


def reason_why_not() -> str:
    """Why no profile can be loaded here; empty when one can."""
    try:
        enabled = Path("/sys/module/apparmor/parameters/enabled").read_text().strip() == "Y"
    except OSError:
        enabled = False
    if not enabled:
        return "this kernel runs without AppArmor (Debian's has it: vm/suite)"
    return "" if shutil.which("apparmor_parser") else "apparmor_parser is not installed (apparmor)"


pytestmark = [pytest.mark.root, pytest.mark.skipif(bool(reason_why_not()), reason=reason_why_not())]
CONFINED = ("--security-opt", f"apparmor={PROFILE}")


@pytest.fixture(scope="module", autouse=True)
def profile() -> Iterator[None]:
    """The test's profile is in the kernel; gone at the end."""

    def load(how: str) -> None:
        subprocess.run(["apparmor_parser", "--skip-cache", how], input=TEXT, text=True, check=True)

    load("--replace")
    yield
    load("--remove")


def test_a_container_runs_under_its_profile(house: House) -> None:
    """The kernel itself says so of process 1; who asks for no profile gets none."""
    shown = ("busybox", "cat", "/proc/1/attr/current")
    assert house.ours("run", "--rm", *CONFINED, *shown).out.strip("\n\0") == f"{PROFILE} (enforce)"
    assert house.ours("run", "--rm", *shown).out.strip("\n\0") == "unconfined"
    unconfined = ("--security-opt", "apparmor=unconfined")
    assert house.ours("run", "--rm", *unconfined, *shown).out.strip("\n\0") == "unconfined"


def test_what_the_profile_denies_fails_even_for_root(house: House) -> None:
    """Capabilities overrule a file's mode, not the profile."""
    command = ("busybox", "cat", "/etc/passwd")
    assert house.ours("run", "--rm", *command).code == 0
    refused = house.ours("run", "--rm", *CONFINED, *command)
    assert (refused.code, refused.out) == (1, "")
    assert "Permission denied" in refused.err


def test_a_further_process_is_confined_as_well(house: House) -> None:
    """Else exec would be the way around."""
    house.ours("run", "-d", "--name", "confined", *CONFINED, "busybox", "sleep", "1000")
    shown = house.ours("exec", "confined", "cat", "/proc/self/attr/current")
    assert shown.out.strip("\n\0") == f"{PROFILE} (enforce)"
    assert house.inspect("confined")["AppArmorProfile"] == PROFILE


def test_a_profile_that_is_not_loaded_starts_nothing(house: House) -> None:
    """A container without the walls that were asked for must not run."""
    refused = house.ours("run", "--rm", "--security-opt", "apparmor=nobody-loaded-this", "busybox", "echo", "ran")
    assert refused.code != 0
    assert "ran" not in refused.out
    assert "apparmor" in refused.err
    assert house.ours("ps", "-aq").out == ""

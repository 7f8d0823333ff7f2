"""What a fork leaves shared, and who has it afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mini_docker.linux.memory import private_writable

ROOT = Path(__file__).resolve().parents[2]
PAGE = 4096
FORKED = """
import os, re, sys
from mini_docker.linux.kernel import LinuxKernel
from mini_docker.linux.memory import unshare_memory
ballast = bytearray(os.urandom(8 << 20))
kernel = LinuxKernel()

def shared_kb():
    with open("/proc/self/smaps") as smaps:
        return sum(int(kb) for kb in re.findall(r"^Shared_Dirty: +(\\d+)", smaps.read(), re.MULTILINE))

heard, said = os.pipe()
if os.fork() == 0:
    os.close(said)
    os.read(heard, 1)
    os._exit(0)
before = shared_kb()
unshare_memory(kernel)
print(before, shared_kb(), len(ballast))
"""

areas = st.tuples(
    st.integers(1, 2**34), st.integers(1, 2**16), st.sampled_from(["rw-p", "r--p", "r-xp", "rw-s", "---p", "rwxp"])
)


@given(st.lists(areas))
def test_only_what_is_private_and_can_be_written_counts(chosen: list[tuple[int, int, str]]) -> None:
    """Whatever else stands in the line."""
    lines = [
        f"{first * PAGE:x}-{(first + pages) * PAGE:x} {permissions} 00000000 00:00 0          [heap] a b\n"
        for first, pages, permissions in chosen
    ]
    assert list(private_writable(lines)) == [
        (first * PAGE, pages * PAGE) for first, pages, permissions in chosen if permissions in ("rw-p", "rwxp")
    ]


@pytest.mark.skipif(
    tuple(int(number) for number in os.uname().release.split(".")[:2]) < (5, 14),
    reason="this kernel lacks MADV_POPULATE_WRITE (Linux 5.14)",
)
def test_a_parent_has_its_memory_to_itself_again() -> None:
    """After a fork all of it is shared, and afterwards hardly a page."""
    out = subprocess.run([sys.executable, "-c", FORKED], capture_output=True, text=True, check=True, cwd=ROOT)
    before, after, _ = (int(word) for word in out.stdout.split())
    assert before > 8 << 10
    assert after < before / 20

"""The sealed interpreter (CVE-2019-5736): whichever way, nobody can write the program that we run on from."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import errno, json, os, sys
sys.path[:0] = json.loads(sys.argv[1])
from mini_docker.libcontainer.sealed import is_sealed, seal_interpreter
seal_interpreter(empty=sys.argv[2])
try:
    os.open("/proc/self/exe", os.O_WRONLY)
    error = 0
except OSError as refused:
    error = refused.errno
print(json.dumps({"sealed": is_sealed(), "error": errno.errorcode.get(error), "exe": os.readlink("/proc/self/exe"),
    "executable": sys.executable, "left": os.environ.get("MINI_DOCKER_SEALED"),
    "fds": len(os.listdir("/proc/self/fd"))}))
"""


def sealed(empty: Path | str, *before: str) -> dict[str, object]:
    """What a process finds that sealed itself: by a window if there is an *empty* folder. *before* goes before it."""
    argv = [*before, sys.executable, "-IS", "-c", PROGRAM, json.dumps(sys.path), str(empty)]
    run = subprocess.run(argv, capture_output=True, text=True, check=True)
    return json.loads(run.stdout)  # type: ignore[no-any-return]


def test_a_copy() -> None:
    """It needs no privilege, and keeps what the process knows of itself."""
    found = sealed("")
    assert str(found.pop("exe")).startswith("/memfd:python3")
    # A file that is being executed is busy; when no longer, its seals say no.
    assert found == {"sealed": True, "error": "ETXTBSY", "executable": sys.executable, "left": None, "fds": 4}


@pytest.mark.root
def test_a_window(tmp_path: Path) -> None:
    """The file is the host's own, and read-only for ever; no mount of it is to be seen."""
    before = Path("/proc/self/mountinfo").read_text()
    found = sealed(tmp_path)
    assert found.pop("exe") == "/" + os.path.basename(os.path.realpath(sys.executable))
    assert found.pop("error") in ("EROFS", "ETXTBSY")
    assert found == {"sealed": True, "executable": sys.executable, "left": None, "fds": 4}
    assert Path("/proc/self/mountinfo").read_text() == before


@pytest.mark.root
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv (util-linux) is not installed")
def test_who_may_mount_nothing_makes_a_copy(tmp_path: Path) -> None:
    """In a container without CAP_SYS_ADMIN the window cannot be opened."""
    found = sealed(tmp_path, "setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin")
    assert str(found["exe"]).startswith("/memfd:python3")
    assert found["sealed"] is True

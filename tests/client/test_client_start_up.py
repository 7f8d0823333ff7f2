"""The client starts fast because of what it does not import."""

from __future__ import annotations

import subprocess
import sys

import pytest
from fake_daemon import ROOT

HEAVY = (
    "h11", "typing", "dataclasses", "inspect", "re", "enum", "socket", "signal", "functools", "argparse", "json",
    "tabulate", "threading",
)  # fmt: skip


@pytest.mark.parametrize("module", ["system", "run", "session", "lifecycle", "attach", "containers"])
def test_what_is_not_imported(module: str) -> None:
    """Each of these modules costs 2 to 34 ms, where ``docker version`` takes 9 ms whole.

    Run with -I -S, as the launcher does: a site directory may import anything.
    """
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); import mini_docker.client, mini_docker.commands.{module};"
        f"print(*[name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []

"""Fixtures of the OCI runtime's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runc.runc_bench import RuncBench, make_command


@pytest.fixture
def mini_runc(tmp_path: Path, busybox_root: Path) -> Iterator[RuncBench]:
    """mini-runc, with a state folder of the test's own."""
    bench = RuncBench(str(make_command(tmp_path)), tmp_path, busybox_root)
    yield bench
    bench.close()

"""The book's table of jobs is the engine's: every registered job is in it, and every line of it is registered."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "docs" / "workshop"))

import job_table  # noqa: E402  the book's workshop is no package of ours
from registered import registered_jobs  # noqa: E402


def test_every_registered_job_is_in_the_table_and_vice_versa() -> None:
    """A job that nobody wrote down, or one that is gone, makes the book lie."""
    registered = {entry.job for entry in registered_jobs(ROOT / "mini_docker")}
    assert registered == set(job_table.lines())


def test_the_fifty_classic_jobs_are_accounted_for() -> None:
    """Each is here under its name, or the book says where it went; never both."""
    classic = job_table.classic_names()
    assert len(classic) == len(set(classic)) == 50
    registered = {entry.job for entry in registered_jobs(ROOT / "mini_docker")}
    assert set(classic) - registered == set(job_table.WENT)


def test_ancestors_are_classic_jobs() -> None:
    """Who claims an ancestor has one, and what bears a classic name is no invention of ours."""
    classic = set(job_table.classic_names())
    for line in job_table.lines().values():
        assert line.ancestor == job_table.OURS or line.ancestor in classic, line
        assert (line.name in classic) == (line.ancestor != job_table.OURS), line


def test_no_job_stands_twice() -> None:
    """A word has one meaning in the table, too."""
    names = Counter(line.name for group in job_table.GROUPS.values() for line in group)
    assert [name for name, count in names.items() if count > 1] == []


def test_every_route_leads_to_a_job_of_the_table_or_to_none_yet() -> None:
    """A route whose job is not registered answers 501: those are known by name."""
    from mini_docker.daemon.server.routes import ROUTES

    missing = {route.job for route in ROUTES} - set(job_table.lines())
    assert missing <= {"build_prune", "session"}


def test_handlers_are_where_the_table_says() -> None:
    """The book leads a reader to the handler: there must be one."""
    import importlib

    for entry in registered_jobs(ROOT / "mini_docker"):
        assert callable(getattr(importlib.import_module(entry.module), entry.name)), entry


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="puts a daemon together: needs root")
def test_reading_the_code_finds_what_a_daemon_really_registers(tmp_path: Path) -> None:
    """The table is read from the source; a daemon that is put together must agree."""
    # In a process of its own: what a daemon opens, it keeps open until its end.
    code = textwrap.dedent("""
        import sys
        from mini_docker.daemon import bootstrap, flags
        from mini_docker.engine import Engine
        engine, root = Engine(), sys.argv[1]
        said = flags.parse(["-g", f"{root}/root", "--exec-root", f"{root}/run", "-s", "vfs"])
        said.settings.exec_root.mkdir(parents=True)
        daemon = bootstrap.build(said, engine)
        daemon.install()
        print(*engine.commands())
        daemon.shutdown()
    """)
    argv = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    before_the_daemon = {"serveapi", "acceptconnections", "ping", "jobs"}
    read = {entry.job for entry in registered_jobs(ROOT / "mini_docker")}
    assert set(done.stdout.split()) | before_the_daemon == read

"""A daemon that cannot start ends, and says why: nothing waits for ever, no reason is lost."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from mini_docker.daemon import bootstrap
from mini_docker.daemon.daemon import Daemon
from mini_docker.drivers.execdriver.contract import Exited, Found
from mini_docker.engine import Engine, Job
from mini_docker.errors import Invalid, MiniDockerError, Unsupported
from mini_docker.libcontainer.cgroups.manager import CgroupManager
from tests.daemon.fakes import FakeExecDriver, FakeHouse


class StumblingDriver(FakeExecDriver):
    """Reports an end while it is asked what is still there, and then fails."""

    def restore(self) -> list[Found]:
        self.report(Exited("c" * 64, "", 0, False, 0.0))
        raise MiniDockerError("the run folder is damaged")


def test_a_failed_restore_does_not_hold_up_the_shutdown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those who see to ends wait until all is known again; when that never comes, they are let go all the same."""
    daemons: list[Daemon] = []
    install = Daemon.install

    def noting_install(daemon: Daemon) -> None:
        daemons.append(daemon)
        install(daemon)

    monkeypatch.setattr(Daemon, "install", noting_install)
    with pytest.raises(MiniDockerError, match="damaged"):
        FakeHouse(tmp_path, StumblingDriver())
    closing = threading.Thread(target=daemons[0].shutdown, daemon=True)
    closing.start()
    closing.join(10)
    assert not closing.is_alive()


@pytest.mark.parametrize("failure", [Unsupported("no such group"), RuntimeError("a mistake of ours")])
def test_any_end_of_the_api_ends_the_daemon(failure: Exception) -> None:
    """Of whatever kind: a daemon that nobody can talk to would sit there for ever, without a word."""
    engine, failed = Engine(), threading.Event()

    def fail(job: Job) -> None:
        raise failure

    engine.register("serveapi", fail)
    api = bootstrap._Api(engine, [], on_failure=failed.set)
    api.start()
    assert failed.wait(10)
    assert api.failure is failure


def test_other_exec_drivers_are_told_with_their_reasons() -> None:
    """``info`` says what could be asked for instead, and of what cannot why not."""
    others = bootstrap.other_exec_drivers("native")
    assert "native" not in others and others["chroot"] == ""
    assert "this is Linux" in others["bsd-jails"]


def test_exec_drivers_by_name(tmp_path: Path) -> None:
    """One that nobody knows, and one that is known and can't be had: told apart, with the reason."""
    cgroups: CgroupManager = None  # type: ignore[assignment]  # never reached
    with pytest.raises(Invalid, match="no such exec driver: 'zone'; there are native, chroot"):
        bootstrap.choose_exec_driver("zone", tmp_path, cgroups)
    with pytest.raises(Unsupported, match=r"exec driver solaris-zones is not available: .*this is Linux"):
        bootstrap.choose_exec_driver("solaris-zones", tmp_path, cgroups)

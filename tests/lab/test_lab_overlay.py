"""The overlay in real processes: the learner's code runs in the daemon and in the supervisor, and a sheet proves it."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

from mini_docker.lab import proof
from mini_docker.lab.house import House

ROOT = Path(__file__).resolve().parents[2]
ENGINE = "mini_docker/engine/engine.py"
NAMESPACES = "mini_docker/libcontainer/namespaces.py"


def layer(folder: Path, **files: str) -> Path:
    """A layer with these modules of ours replaced: by their text, or by a quotation of ours."""
    for path in files.values():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text((ROOT / path).read_text())
    return folder


def python(code: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a line in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=os.environ | variables, capture_output=True, text=True, check=False
    )


def test_it_comes_before_what_it_covers_or_says_that_it_came_too_late(tmp_path: Path) -> None:
    """Half a layer would be worse than none."""
    layer(tmp_path, engine=ENGINE)
    told = python(
        f"import mini_docker.engine.engine; from mini_docker.lab.overlay import install; install({str(tmp_path)!r})"
    )
    assert told.returncode and "came too late: mini_docker.engine.engine" in told.stderr


def test_a_folder_that_covers_nothing_is_refused(tmp_path: Path) -> None:
    """A misspelt path would leave the learner with our code, and in the belief that it is theirs."""
    told = python(f"from mini_docker.lab.overlay import install; install({str(tmp_path)!r})")
    assert told.returncode and "is no layer" in told.stderr


def test_the_command_line_lays_it_too(tmp_path: Path) -> None:
    """``MINI_DOCKER_OVERLAY=… mini-docker …`` is all that a learner types."""
    path = tmp_path / "mini_docker/commands/containers.py"
    path.parent.mkdir(parents=True)
    path.write_text("raise SystemExit('the layer was laid')\n")
    told = python("from mini_docker.__main__ import main; main(['ps'])", MINI_DOCKER_OVERLAY=str(tmp_path))
    assert "the layer was laid" in told.stderr


def test_signatures_are_made_once_and_read_back(tmp_path: Path) -> None:
    """By name and process; a sheet with another nonce is another sheet."""
    sheet = tmp_path / "sheet"
    proof.prepare(sheet, "n0nce", ["m:f", "m:f2"])
    opened = proof.Proof(str(sheet))
    for name in ("m:f", "m:f", "m:unknown"):
        opened.sign(name)
    assert proof.signatures(sheet, "n0nce") == {"m:f": os.getpid(), "m:f2": 0}
    with pytest.raises(ValueError, match="nonce"):
        proof.signatures(sheet, "other")


@pytest.mark.root
def test_the_learners_code_runs_in_the_daemon_and_in_the_supervisor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One launcher starts every process of ours and carries the overlay: the signatures are of two processes."""
    if not Path("/bin/busybox").exists():
        pytest.skip("busybox-static is not installed")
    nonce, sheet = secrets.token_hex(8), tmp_path / "sheet"
    names = ["mini_docker.engine.engine:Engine.register", "mini_docker.libcontainer.namespaces:plan"]
    proof.prepare(sheet, nonce, names)
    folder = layer(tmp_path / "layer", engine=ENGINE, namespaces=NAMESPACES)
    monkeypatch.setenv("MINI_DOCKER_OVERLAY", str(folder))
    monkeypatch.setenv(proof.VARIABLE, str(sheet))
    (tmp_path / "house").mkdir()
    with House(tmp_path / "house", "-s", "vfs", "--bip", "10.234.56.1/24") as house:
        assert house.run("run", "--rm", "--net", "none", "busybox", "echo", nonce) == f"{nonce}\n"
        daemon = house.daemon_pid
    signed = proof.signatures(sheet, nonce)
    assert signed[names[0]] == daemon
    assert signed[names[1]] not in (0, daemon, os.getpid())

"""Records what one ``run`` really does, for the page that tells it: the trace of its jobs and its narrated steps.

    sudo .venv/bin/python docs/workshop/record_trace.py

It starts a daemon of its own, and writes docs/traces/run.json. Ids and folders of the machine become short names.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT)]

from mini_docker.lab.house import House  # noqa: E402

COMMAND = ("run", "--rm", "-p", "8080:80", "--memory", "64m", "busybox", "echo", "hello")
SHOWN = "mini-docker run --rm -p 8080:80 --memory 64m busybox echo hello"


def main() -> None:
    """Record one run."""
    with tempfile.TemporaryDirectory(prefix="mini-docker-trace-") as scratch, House(Path(scratch)) as house:
        house.run(*COMMAND)  # the first one warms what is found out once
        before = {job["Id"] for job in _jobs(house)}
        house.run(*COMMAND)
        jobs = [job for job in _jobs(house) if job["Id"] not in before]
        lines = _narration(house)
    kept = [job for job in jobs if job["Name"] not in ("jobs", "version", "ping")]
    text = json.dumps({"command": SHOWN, "jobs": kept, "narration": lines}, indent=1, ensure_ascii=False)
    (ROOT / "docs/traces").mkdir(exist_ok=True)
    (ROOT / "docs/traces/run.json").write_text(_anonymous(text, scratch) + "\n", encoding="utf-8")


def _narration(house: House) -> list[str]:
    """The same run once more, narrated: what daemon, parent and init say that they do."""
    command = [sys.executable, "-m", "mini_docker", "-H", f"unix://{house.address}", "run", "--narrate", *COMMAND[1:]]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return told.stderr.splitlines()


def _jobs(house: House) -> list[dict[str, object]]:
    import http.client
    import socket

    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(house.address)
    connection.request("GET", "/jobs")
    found: list[dict[str, object]] = json.load(connection.getresponse())
    return found


def _anonymous(text: str, scratch: str) -> str:
    """Long ids cut to twelve digits, and this machine's folders replaced by the usual ones."""
    text = re.sub(r"\b([0-9a-f]{12})[0-9a-f]{52}\b", r"\1", text)
    return text.replace(f"{scratch}/root", "/var/lib/mini-docker").replace(f"{scratch}/run", "/run/mini-docker")


if __name__ == "__main__":
    main()

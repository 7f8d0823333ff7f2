"""The doctor: looks a machine over before a workshop and says, line by line, what is there and what to do.

Three steps in three modules: `examination` looks (and touches nothing), `diagnosis` judges (and looks at
nothing), `report` writes. It starts no container and no daemon.
"""

from __future__ import annotations

import argparse
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

from mini_docker.doctor.finding import Finding, Verdict
from mini_docker.doctor.report import as_json, as_text, exit_code


def main(argv: Sequence[str]) -> int:
    """Examine this machine and print the report.

    Args:
        argv: the words after ``mini-docker doctor``.

    Returns:
        0 when all that is needed is there, 1 when something is missing, 2 for words it does not understand.
    """
    parser = argparse.ArgumentParser(
        prog="mini-docker doctor", description="Say what this machine has and lacks for running containers."
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of lines")
    parser.add_argument(
        "-g", "--graph", "--data-root", type=Path, default=Path("/var/lib/mini-docker"), metavar="FOLDER",
        help="where the daemon would keep its state (/var/lib/mini-docker)",
    )  # fmt: skip
    try:
        said = parser.parse_args(list(argv))
    except SystemExit as end:
        return int(end.code or 0)
    findings = examine_and_diagnose(said.graph)
    sys.stdout.write(f"{as_json(findings)}\n" if said.json else as_text(findings))
    return exit_code(findings)


def examine_and_diagnose(root_folder: Path) -> tuple[Finding, ...]:
    """Everything that can be said of this machine; of another system than Linux, only that it is one."""
    if platform.system() != "Linux":
        advice = "containers are made by the Linux kernel: run 'vagrant up' and work in that machine"
        return (Finding("machine", "system", Verdict.MISSING, platform.system(), advice),)
    # Imported late: these modules open the doors of a Linux kernel.
    from mini_docker.doctor.diagnosis import diagnose
    from mini_docker.doctor.examination import examine

    return diagnose(examine(root_folder))

"""How mini-runc complains: to the log that engines read, and to whoever sits at the terminal.

It knows the two log formats, and nothing of what went wrong. Source: runc's ``--log`` and ``--log-format``.
"""

from __future__ import annotations

import json
import os
import sys
import time


class Complaints:
    """Takes errors and warnings.

    Args:
        log: path of the log file to append to; empty for none.
        log_format: ``text`` or ``json``.
    """

    def __init__(self, log: str, log_format: str) -> None:
        self._log = log
        self._format = log_format

    def warn(self, sentence: str) -> None:
        """What is not worth failing for."""
        self._write("warning", sentence)

    def error(self, sentence: str) -> None:
        """Why the command failed. It is also said aloud."""
        self._write("error", sentence)
        if self._log:
            print(sentence, file=sys.stderr)

    def _write(self, level: str, sentence: str) -> None:
        if self._format == "json":
            line = json.dumps({"level": level, "msg": sentence, "time": utc_now()})
        else:
            line = f"time={json.dumps(utc_now())} level={level} msg={json.dumps(sentence)}"
        data = (line + "\n").encode(errors="surrogateescape")
        if not self._log:
            os.write(2, data)
            return
        descriptor = os.open(self._log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            os.write(descriptor, data)
        finally:
            os.close(descriptor)


def utc_now() -> str:
    """The time of day as RFC 3339 has it. (The datetime module would take longer to load than this command has.)"""
    now = time.time_ns()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now // 10**9)) + f".{now % 10**9:09d}Z"

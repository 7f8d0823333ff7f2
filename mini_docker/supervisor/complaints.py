"""Complaints: one sentence on standard error, which the daemon made the supervisor's log.

They say what went wrong for nobody in particular: who asked for something hears of it in the reply. A log that
cannot be written, on a full disk, is no reason to fail: who complains has containers to hold.

The standard library's ``logging`` would cost each supervisor 0.8 MB, for three sentences.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress


def complain(sentence: str) -> None:
    """Something did not work, and the supervisor goes on without it."""
    with suppress(OSError):
        # Past sys.stderr, which would keep what a full disk did not take and fail again with the next sentence.
        os.write(2, f"{sentence}\n".encode(errors="replace"))


def complain_of_bug(sentence: str) -> None:
    """Within ``except``: the same, with where it was raised."""
    complain(sentence)
    with suppress(Exception):
        sys.excepthook(*sys.exc_info())

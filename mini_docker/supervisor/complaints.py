"""Complaints: one sentence on standard error, which the daemon made the supervisor's log.

They say what went wrong for nobody in particular: who asked for something hears of it in the reply. The standard
library's ``logging`` would cost each supervisor 0.8 MB, for three sentences.
"""

from __future__ import annotations

import sys


def complain(sentence: str) -> None:
    """Something did not work, and the supervisor goes on without it."""
    print(sentence, file=sys.stderr, flush=True)


def complain_of_bug(sentence: str) -> None:
    """Within ``except``: the same, with where it was raised."""
    complain(sentence)
    sys.excepthook(*sys.exc_info())

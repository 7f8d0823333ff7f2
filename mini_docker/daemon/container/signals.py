"""Signals as users name them: ``KILL``, ``SIGKILL``, ``9``, ``RTMIN+3``. Pure.

Source: signal(7); Docker's ``pkg/signal``.
"""

from __future__ import annotations

import signal

from mini_docker.errors import Invalid

DEFAULT_STOP_SIGNAL = signal.SIGTERM


def parse_signal(text: str) -> int:
    """The signal's number.

    Raises:
        Invalid: no such signal.
    """
    word = text.strip().upper().removeprefix("SIG")
    if word.isascii() and word.isdigit():
        number = int(word)
    else:
        name, plus, offset = word.partition("+")
        base = getattr(signal, f"SIG{name}", None)
        if base is None or (plus and not (offset.isascii() and offset.isdigit())):
            raise Invalid(f"Invalid signal: {text}")
        number = int(base) + int(offset or 0)
    if not 0 < number <= signal.SIGRTMAX:
        raise Invalid(f"Invalid signal: {text}")
    return number

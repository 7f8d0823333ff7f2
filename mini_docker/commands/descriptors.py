"""Writing to a file descriptor, whole. (Python's buffered streams would hold back what a terminal should show now.)"""

from __future__ import annotations

import os


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of *data*: a pipe or terminal may take less at once (write(2)).

    Raises:
        OSError: it cannot be written.
    """
    while data:
        data = data[os.write(descriptor, data) :]

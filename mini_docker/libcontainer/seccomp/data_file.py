"""The tables beside this module: data that is no code."""

from __future__ import annotations

import json
import os
from typing import Any


def data_file(name: str) -> Any:
    """The value in a JSON file of this package.

    Opened by its plain path: ``importlib.resources`` takes 5 ms to load, as long as the birth of a container.
    """
    with open(os.path.join(os.path.dirname(__file__), name), encoding="ascii") as file:
        return json.load(file)

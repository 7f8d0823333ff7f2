"""To whoever draws the API reference, our dataclasses are the standard ones, as they are to a type checker."""

from __future__ import annotations

from typing import Any

import griffe


class StandardDataclasses(griffe.Extension):
    """Lets griffe, which reads our code for mkdocstrings, find the ``dataclass`` that it knows."""

    def on_alias_instance(self, *, node: Any, alias: griffe.Alias, **_more: Any) -> None:
        """Called for each name that a module imports."""
        if alias.target_path.startswith("mini_docker.dataclasses."):
            alias.target_path = alias.target_path.removeprefix("mini_docker.")

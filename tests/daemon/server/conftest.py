"""Makes APIs for the server's tests and ends them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from api_house import Api

from mini_docker.engine import Handler
from mini_docker.http.limits import Limits


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Api]]:
    """Serves the handlers it is given, by job name; what was served is ended after the test."""
    apis: list[Api] = []

    def make(handlers: dict[str, Handler] | None = None, limits: Limits | None = None) -> Api:
        apis.append(Api(tmp_path / f"{len(apis)}.sock", handlers or {}, limits))
        return apis[-1]

    yield make
    for api in apis:
        api.close()

"""Makes servers for the HTTP tests and ends them."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from http_house import House, echo

from mini_docker.http.connection import Application
from mini_docker.http.limits import Limits


@pytest.fixture
def build(tmp_path: Path) -> Iterator[Callable[..., House]]:
    """Builds a House; all are closed after the test, which also proves that each can be."""
    houses: list[House] = []

    def make(application: Application = echo, tls: ssl.SSLContext | None = None, **limits: float) -> House:
        granted = Limits(**({"linger_seconds": 0.2} | limits))  # type: ignore[arg-type]
        houses.append(House(tmp_path / f"{len(houses)}.sock", application, granted, tls=tls))
        return houses[-1]

    yield make
    for house in houses:
        house.close()

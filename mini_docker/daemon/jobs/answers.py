"""How handlers read what a job was given and write what it answers: JSON in, JSON out."""

from __future__ import annotations

import json
from typing import Any

from mini_docker.engine import Job
from mini_docker.errors import Invalid


def argument(job: Job, index: int = 0, what: str = "a container") -> str:
    """One of the job's arguments.

    Raises:
        Invalid: it is missing or empty.
    """
    if len(job.args) <= index or not job.args[index]:
        raise Invalid(f"{job.name}: {what} must be named")
    return job.args[index]


def json_body(job: Job) -> dict[str, Any]:
    """The job's standard input as a JSON object; empty input is an empty object.

    Raises:
        Invalid: it is something else.
    """
    text = job.stdin.read()
    if not text.strip():
        return {}
    try:
        data = json.loads(text)
    except ValueError as error:
        raise Invalid(f"invalid JSON in the request's body: {error}") from None
    if not isinstance(data, dict):
        raise Invalid("the request's body must be a JSON object")
    return data


def answer(job: Job, value: Any) -> None:
    """Write *value* as JSON to the job's standard output."""
    job.stdout.write(json.dumps(value).encode() + b"\n")

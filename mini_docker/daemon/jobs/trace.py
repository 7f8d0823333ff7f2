"""The job `jobs`: shows the job trace, once or live. It is a job too, and sees itself running.

Ours; classic Docker had only a debug log of its jobs.
"""

from __future__ import annotations

import json

from mini_docker.engine import Job, JobRecord


def jobs(job: Job) -> None:
    """Write the remembered jobs as a JSON list; with ``follow`` as JSON lines that go on.

    Followed, a record comes when its job begins (status and duration null) and again when it ends.
    """
    if not job.env.get_bool("follow"):
        job.stdout.write(json.dumps([record.to_json() for record in job.engine.trace.records()]).encode() + b"\n")
        return
    job.service = True
    with job.engine.trace.follow() as (seen, arrivals), job.on_cancel(lambda: arrivals.put(None)):
        job.stdout.write(b"".join(map(_line, seen)))
        for record in iter(arrivals.get, None):
            job.stdout.write(_line(record))


def _line(record: JobRecord) -> bytes:
    return json.dumps(record.to_json()).encode() + b"\n"

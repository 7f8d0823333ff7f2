"""The Engine box: a table of handlers, and the jobs made from it.

Read `engine.py` (the table), `job.py` (a job is shaped like a unix process), `env.py` and
`streams.py` (its environment and its pipes), `trace.py` (who ran whom, and for how long).
"""

from mini_docker.engine.engine import Engine, Handler
from mini_docker.engine.env import Env
from mini_docker.engine.job import Job, JobFailed, Status
from mini_docker.engine.streams import Buffer, Input, Output, Tail
from mini_docker.engine.trace import JobRecord, JobTrace

__all__ = [
    "Buffer", "Engine", "Env", "Handler", "Input", "Job", "JobFailed", "JobRecord", "JobTrace",
    "Output", "Status", "Tail",
]  # fmt: skip

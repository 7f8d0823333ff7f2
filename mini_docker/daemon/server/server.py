"""The Docker Server: turns each request into one job, and the job's end into an answer.

It knows the route table and the engine. What any job does it does not know, and it decides
nothing: a `Route` says all that tells one request from another.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from mini_docker.daemon.server.conversations import converse
from mini_docker.daemon.server.router import Router
from mini_docker.daemon.server.routes import HEADERS_FOR_JOBS, ROUTES, Route
from mini_docker.daemon.server.statuses import error_answer
from mini_docker.engine import Engine, Job
from mini_docker.errors import MiniDockerError
from mini_docker.http.messages import Request
from mini_docker.http.responder import Responder


class DockerServer:
    """The application that `HttpServer` serves: see `mini_docker.http.connection.Application`.

    Args:
        engine: makes the jobs.
        routes: the table.
    """

    def __init__(self, engine: Engine, routes: Iterable[Route] = ROUTES) -> None:
        self._engine = engine
        self._router = Router(routes)

    def __call__(self, request: Request, responder: Responder) -> None:
        """Answer *request* by one job."""
        try:
            route, job = self._job(request)
        except MiniDockerError as error:
            responder.answer(error_answer(error))
            return
        if route.upload:
            request.body.allow(None)
        converse(job, route, request, responder)

    def _job(self, request: Request) -> tuple[Route, Job]:
        """The job that *request* asks for, not yet run.

        Raises:
            MiniDockerError: no route leads there, or a parameter has no possible name.
        """
        query: dict[str, list[str]] = {}
        for name, value in request.query:
            query.setdefault(name, []).append(value)
        match = self._router.match(request.method, request.path, query)
        job = self._engine.job(match.route.job, *match.args)
        for name, values in query.items():
            job.env[name] = values[0] if len(values) == 1 else json.dumps(values)
        for header in HEADERS_FOR_JOBS:
            text = request.header(header)
            if text:
                job.env[header] = text
        return match.route, job

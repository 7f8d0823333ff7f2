"""The ProcessPlanner: draws a further process of a container as `container_spec` drew its first one."""

from __future__ import annotations

from collections.abc import Sequence

from mini_docker.daemon.container.container import Container
from mini_docker.daemon.container.spec import container_spec, merge_environment
from mini_docker.daemon.jobs.links import Links
from mini_docker.daemon.jobs.surveyor import Surveyor
from mini_docker.dataclasses import replace
from mini_docker.libcontainer.config import ProcessSpec


class ProcessPlanner:
    """Plans execs. Stateless but for its collaborators."""

    def __init__(self, surveyor: Surveyor, links: Links) -> None:
        self._surveyor = surveyor
        self._links = links

    def plan(
        self,
        container: Container,
        command: Sequence[str],
        env: Sequence[str],
        cwd: str,
        user: str,
        terminal: bool,
        privileged: bool,
    ) -> ProcessSpec:
        """The process, with the container's environment, user and privileges but for what is said here.

        Raises:
            Invalid: a capability or option of the container that is none.
        """
        host = replace(container.host_config, privileged=container.host_config.privileged or privileged)
        world = replace(self._surveyor.survey_privileges(host), links_env=self._links.env(container))
        spec = container_spec(container.id, replace(container.config, tty=terminal), host, (), world)
        process = spec.process
        return replace(
            process,
            args=tuple(command),
            env=merge_environment(process.env, env),
            cwd=cwd or process.cwd,
            user=user or process.user,
            oom_score_adj=host.oom_score_adj or None,
        )

"""The jobs ``version`` and ``system_df``, and the stubs by which stock clients learn what we are not.

Classic Docker's DaemonVersion (``builtins/builtins.go``).
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from mini_docker import VERSION
from mini_docker.architecture import host_architecture
from mini_docker.daemon.container.store import ContainerStore
from mini_docker.daemon.container.summary import line
from mini_docker.daemon.container.timestamps import parse_time
from mini_docker.daemon.container.volumes import VolumeStore
from mini_docker.daemon.image_lookup import ImageLookup
from mini_docker.daemon.jobs.answers import answer, argument
from mini_docker.daemon.jobs.containers import container_sizes
from mini_docker.daemon.jobs.volumes import users_of
from mini_docker.engine import Job
from mini_docker.errors import NotFound, Unavailable
from mini_docker.graph.container_layers import ContainerLayers
from mini_docker.graph.image import Image
from mini_docker.remote_api import API_VERSION, MIN_API_VERSION


def version(job: Job) -> None:
    """``version``: what we are."""
    details = {
        "ApiVersion": API_VERSION,
        "Arch": host_architecture(),
        "BuildTime": "",
        "Experimental": "false",
        "GitCommit": "",
        "GoVersion": "",
        "KernelVersion": os.uname().release,
        "MinAPIVersion": MIN_API_VERSION,
        "Os": "linux",
    }
    python = ".".join(str(number) for number in sys.version_info[:3])
    answer(
        job,
        {
            "Platform": {"Name": "mini_docker"},
            "Components": [
                {"Name": "Engine", "Version": VERSION, "Details": details},
                {"Name": "python", "Version": python, "Details": {}},
            ],
            "Version": VERSION,
            **details,
            "Experimental": False,
            "PythonVersion": python,
        },
    )


class SystemDf:
    """``system_df``: where the space went."""

    def __init__(
        self, containers: ContainerStore, images: ImageLookup, layers: ContainerLayers, volumes: VolumeStore
    ) -> None:
        self._containers = containers
        self._images = images
        self._layers = layers
        self._volumes = volumes

    def __call__(self, job: Job) -> None:
        graph = self._images.graph
        images = graph.images()
        layers = {chain: graph.layer(chain).size for image in images for chain in image.layers}
        owners = Counter(chain for image in images for chain in set(image.layers))
        now = time.time_ns()
        containers = []
        for container in self._containers.all():
            written, whole = container_sizes(container, self._images, self._layers)
            summary = line(container, container.config.image, container.state.summary(now))
            containers.append(summary | {"SizeRw": written, "SizeRootFs": whole})
        volumes = []
        for volume in self._volumes.all():
            usage = {"RefCount": len(users_of(volume.name, self._containers)), "Size": self._volumes.size(volume)}
            volumes.append(volume.to_json() | {"UsageData": usage})
        answer(
            job,
            {
                "LayersSize": sum(layers.values()),
                "Images": [self._image(image, owners) for image in images],
                "Containers": containers,
                "Volumes": volumes,
                "BuildCache": None,
                "BuilderSize": 0,
            },
        )

    def _image(self, image: Image, owners: Mapping[str, int]) -> dict[str, Any]:
        """One line; *owners* is how many images have a layer."""
        graph, tags = self._images.graph, self._images.tags
        size = graph.size(image)
        return {
            "Id": image.id,
            "ParentId": image.parent or "",
            "RepoTags": tags.by_id(image.id) or None,
            "RepoDigests": tags.digests_by_id(image.id) or None,
            "Created": parse_time(image.config.created) // 10**9,
            "Size": size,
            "VirtualSize": size,
            "SharedSize": sum(graph.layer(chain).size for chain in image.layers if owners[chain] > 1),
            "Containers": sum(container.image == image.id for container in self._containers.all()),
            "Labels": image.config.config.get("Labels") or None,
        }


def no_plugins(job: Job) -> None:
    """``plugins``: there are none."""
    answer(job, [])


def no_such_plugin(job: Job) -> None:
    """``plugin_inspect``: there are none."""
    raise NotFound(f'plugin "{argument(job, what="a plugin")}" not found')


def no_swarm(job: Job) -> None:
    """``swarm_inspect`` and ``swarm_leave``: this is one machine alone."""
    raise Unavailable(
        'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to '
        "swarm and try again."
    )


STUBS: dict[str, Callable[[Job], None]] = {
    "plugins": no_plugins,
    "plugin_inspect": no_such_plugin,
    "swarm_inspect": no_swarm,
    "swarm_leave": no_swarm,
}
"""Jobs that only say no, as stock clients want to hear it."""

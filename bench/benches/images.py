"""Images: listing, loading, pulling, pushing, committing; and how fast a registry serves what it keeps."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.client import HTTPConnection

from bench.contract import Bench, Curve
from bench.goal import at_most, faster, within
from bench.image_maker import NAME, BigImage, many_images_archive, small_layer
from bench.processes import forget_peak, peak_bytes
from bench.registries import Registry
from bench.sitting import Sitting
from bench.unit import Unit

PULL_PORT, PUSH_PORT, BLOB_PORT = 5000, 5001, 5002
ANONYMOUS = {"X-Registry-Auth": "e30="}  # {}
CHANGED_FILES = 10_000
CLIENTS = 50
LIVES = 11
"""Container lives at each point of a curve."""


@dataclass
class List(Bench):
    """The list of many images."""

    count: int = 1000
    quick_count: int = 200

    def prepare(self, sitting: Sitting, contender: str) -> None:
        count = self.quick_count if sitting.quick else self.count
        api = sitting.daemon(contender).api()
        self.state[contender] = api, count
        api.call("POST", "/images/load", raw=many_images_archive(count, [small_layer()], "many"))

    def once(self, sitting: Sitting, contender: str) -> float:
        api, count = self.state[contender]
        began = time.perf_counter()
        listed = api.call("GET", "/images/json")
        took = time.perf_counter() - began
        if len(listed) < count:
            raise RuntimeError(f"{contender} lists {len(listed)} of {count} images")
        return took

    def tidy(self, sitting: Sitting, contender: str) -> None:
        if contender in self.state:
            api, count = self.state.pop(contender)
            for number in range(count):
                api.call("DELETE", f"/images/many:{number}")
            api.close()


@dataclass
class Load(Bench):
    """A big image from an archive."""

    def once(self, sitting: Sitting, contender: str) -> float:
        archive = sitting.big_image.archive.read_bytes()
        api = sitting.daemon(contender).api()
        began = time.perf_counter()
        api.call("POST", "/images/load", raw=archive)
        took = time.perf_counter() - began
        api.call("DELETE", f"/images/{NAME}:1")
        api.close()
        return took


@dataclass
class Pull(Bench):
    """A big image from a registry; every daemon has one beside it, over one store."""

    def prepare(self, sitting: Sitting, contender: str) -> None:
        folder = sitting.ground / "pull-registry"
        registry = Registry(sitting.daemon(contender), PULL_PORT, folder)
        if not self.state:
            registry.put(NAME, "1", sitting.big_image)
        self.state[contender] = registry

    def once(self, sitting: Sitting, contender: str) -> float:
        name = f"{self.state[contender].address}/{NAME}"
        api = sitting.daemon(contender).api()
        began = time.perf_counter()
        api.call("POST", "/images/create", query={"fromImage": name, "tag": "1"})
        took = time.perf_counter() - began
        api.call("DELETE", f"/images/{name}:1")
        api.close()
        return took

    def tidy(self, sitting: Sitting, contender: str) -> None:
        if contender in self.state:
            self.state.pop(contender).stop()


@dataclass
class Push(Bench):
    """A big image, loaded just before, to an empty registry.

    Attributes:
        size: a sample is how many bytes the registry then keeps, instead of the time: who compresses less is
            faster, too.
    """

    size: bool = False

    def prepare(self, sitting: Sitting, contender: str) -> None:
        self.state[contender] = Registry(sitting.daemon(contender), PUSH_PORT, sitting.folder("push-registry"))

    def once(self, sitting: Sitting, contender: str) -> float:
        registry: Registry = self.state[contender]
        registry.reset()
        name = f"{registry.address}/{NAME}"
        api = sitting.daemon(contender).api()
        api.call("POST", "/images/load", raw=sitting.big_image.archive.read_bytes())
        api.call("POST", f"/images/{NAME}:1/tag", query={"repo": name, "tag": "1"})
        began = time.perf_counter()
        api.call("POST", f"/images/{name}/push", query={"tag": "1"}, headers=ANONYMOUS)
        took = time.perf_counter() - began
        for each in (name, NAME):
            api.call("DELETE", f"/images/{each}:1")
        api.close()
        return float(registry.stored_bytes()) if self.size else took

    def tidy(self, sitting: Sitting, contender: str) -> None:
        if contender in self.state:
            self.state.pop(contender).stop()


@dataclass
class BlobDownload(Bench):
    """All blobs of the big image from a registry: ours beside Debian's, both in one daemon's namespace.

    Attributes:
        clients: how many fetch them all, at once.
        memory: a sample is the most memory that the registry had resident meanwhile, instead of the time.
    """

    clients: int = 1
    memory: bool = False
    ports: dict[str, int] = field(default_factory=lambda: {"mini-docker": BLOB_PORT, "docker-registry": BLOB_PORT + 1})

    def prepare(self, sitting: Sitting, contender: str) -> None:
        daemon = sitting.daemon("mini-docker")
        folder = sitting.folder(f"blob-registry-{contender}")
        registry = Registry(daemon, self.ports[contender], folder, own=contender == "mini-docker")
        self.state[contender] = registry
        registry.put(NAME, "1", sitting.big_image)

    def once(self, sitting: Sitting, contender: str) -> float:
        registry: Registry = self.state[contender]
        connections = [registry.connection() for _ in range(self.clients)]
        forget_peak(registry.pid)
        began = time.perf_counter()
        with ThreadPoolExecutor(self.clients) as clients:
            fetched = list(clients.map(lambda connection: _fetch(connection, sitting.big_image), connections))
        took = time.perf_counter() - began
        peak = peak_bytes(registry.pid)
        for connection in connections:
            connection.close()
        if set(fetched) != {sum(path.stat().st_size for path in sitting.big_image.blobs.values())}:
            raise RuntimeError(f"{contender} did not send all of it to all")
        return float(peak) if self.memory else took

    def tidy(self, sitting: Sitting, contender: str) -> None:
        if contender in self.state:
            self.state.pop(contender).stop()


def _fetch(connection: HTTPConnection, image: BigImage) -> int:
    """Download all blobs of *image* and throw them away; returns how many bytes came."""
    buffer = bytearray(256 * 1024)
    count = 0
    for digest in image.blobs:
        connection.request("GET", f"/v2/{NAME}/blobs/{digest}")
        answer = connection.getresponse()
        while got := answer.readinto(buffer):
            count += got
    return count


@dataclass
class Changed(Bench):
    """A container with many changed files: its diff, or its commit."""

    commit: bool = False

    def prepare(self, sitting: Sitting, contender: str) -> None:
        each = f"mkdir /new$d; for f in $(seq {CHANGED_FILES // 100}); do echo $f >/new$d/$f; done"
        script = f"for d in $(seq 100); do {each}; done"
        api = sitting.daemon(contender).api()
        container = api.create("sh", "-c", script)
        self.state[contender] = api, container
        api.start(container)
        api.wait(container)

    def once(self, sitting: Sitting, contender: str) -> float:
        api, container = self.state[contender]
        began = time.perf_counter()
        if self.commit:
            api.call("POST", "/commit", {}, {"container": container, "repo": "changed", "tag": "1"})
        else:
            changes = api.call("GET", f"/containers/{container}/changes")
        took = time.perf_counter() - began
        if self.commit:
            api.call("DELETE", "/images/changed:1")
        elif len(changes) < CHANGED_FILES:
            raise RuntimeError(f"{contender} sees {len(changes)} of {CHANGED_FILES} changes")
        return took

    def tidy(self, sitting: Sitting, contender: str) -> None:
        if contender in self.state:
            api, container = self.state.pop(contender)
            api.remove(container)
            api.close()


@dataclass
class Stored(Bench):
    """Growth: whole lives of a container, with more and more stored. A sample is a ratio: the most over the least.

    Attributes:
        counts: how many images beside the container's, or how many layers below it.
        layers: it is the layers that grow.
    """

    counts: tuple[int, ...] = ()
    layers: bool = False
    seen: dict[str, Curve] = field(default_factory=dict)

    def once(self, sitting: Sitting, contender: str) -> float:
        curve = []
        with sitting.fresh_daemon(contender) as daemon:
            api = daemon.api()
            stored = 0
            for count in self.counts:
                if self.layers:
                    tars = [sitting.busybox, *(small_layer(f"layer{number}") for number in range(1, count))]
                    api.call("POST", "/images/load", raw=many_images_archive(1, tars, f"tall{count}"))
                    image = f"tall{count}:0"
                else:
                    archive = many_images_archive(count - stored, [small_layer()], f"from{stored}")
                    api.call("POST", "/images/load", raw=archive)
                    image, stored = "busybox", count
                took = sorted(api.cycle(image=image) for _ in range(LIVES))
                curve.append((count, took[LIVES // 2]))
            api.close()
        self.seen[contender] = curve
        return curve[-1][1] / curve[0][1]

    def curves(self) -> Mapping[str, Curve]:
        return self.seen


def benches() -> list[Bench]:
    """This module's benches, in the order of the report."""
    from_registry = ("docker-registry",)
    return [
        List("images-list", "the list of 1,000 images by the API (200 with --quick)", goal=faster(5, "issue 7")),
        Load("load", "load an image of 200 MB, 5 layers, 13,000 files", goal=faster(2, "issue 7"), rounds=5,
             quick_rounds=1),
        Pull("pull", "pull 200 MB in 5 layers from docker-registry on loopback", goal=faster(1.7, "issue 4"), rounds=5,
             quick_rounds=1, needs=from_registry),
        Push("push", "push the same, loaded just before, to an empty docker-registry", goal=faster(3, "issue 9"),
             rounds=4, quick_rounds=1, warm_up=0, needs=from_registry),
        Push("push-size", "the bytes that the registry keeps after that push", goal=within(1.05, "dockerd", "issue 9"),
             rounds=1, quick_rounds=0, warm_up=0, needs=from_registry, unit=Unit.BYTES, size=True),
        BlobDownload("blob-download", "download of all blobs of the same from our registry and from docker-registry",
                     ("mini-docker", "docker-registry"), within(1.5, "docker-registry", "issue 9"), quick_rounds=5),
        BlobDownload("blob-crowd", "50 clients at once, each of which downloads all blobs of the same",
                     ("mini-docker", "docker-registry"), within(1.5, "docker-registry", "issue 9"), rounds=5,
                     quick_rounds=1, warm_up=0, clients=CLIENTS),
        BlobDownload("registry-memory", "the most memory that a registry has resident while it serves those 50",
                     ("mini-docker", "docker-registry"), at_most(64e6, "issue 9"), rounds=5, quick_rounds=1,
                     warm_up=0, unit=Unit.BYTES, clients=CLIENTS, memory=True),
        Changed("diff", "the changes of a container with 10,000 new files", goal=faster(1, "issue 7"), rounds=10,
                quick_rounds=4),
        Changed("commit", "commit of the same container", goal=faster(1, "issue 7"), rounds=6, quick_rounds=2,
                commit=True),
        Stored("stored-images", "a container's life beside 1,000 images over the same beside 10", rounds=1,
               warm_up=0, full_only=True, alone=True, unit=Unit.RATIO, counts=(10, 100, 1000)),
        Stored("stored-layers", "a container's life on 120 layers over the same on one", rounds=1, warm_up=0,
               full_only=True, alone=True, unit=Unit.RATIO, counts=(1, 8, 32, 64, 120), layers=True),
    ]  # fmt: skip

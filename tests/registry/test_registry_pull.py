"""The pull job from end to end, without root: a tiny registry on loopback, the graph on its fake driver."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mini_docker import media_types
from mini_docker.daemon.jobs.layer_downloads import LayerDownloads
from mini_docker.errors import Cancelled, Invalid, MiniDockerError, NotFound, Unavailable, Unsupported
from mini_docker.graph.unpackers import Unpackers
from mini_docker.registry.digest import short_id
from mini_docker.registry.endpoints import RegistryConfig
from tests.graph.rebasing_driver import RebasingFakeDriver, always_side_by_side
from tests.registry.image_fixture import ImageFixture, digest, make_image
from tests.registry.pull_bench import PullBench, said
from tests.registry.tiny_registry import Fault, TinyRegistry, serving, wait_until

BIG = {"big": bytes(range(256)) * 5000}


@pytest.fixture
def registry() -> Iterator[TinyRegistry]:
    with serving(TinyRegistry()) as tiny:
        yield tiny


@pytest.fixture(params=["one by one", "side by side"])
def bench(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PullBench:
    """Layers are unpacked in their order, or ahead of it by other processes: a pull's laws are the same."""
    if request.param == "one by one":
        return PullBench(tmp_path, read_seconds=25.0)
    always_side_by_side(monkeypatch)
    return PullBench(
        tmp_path, driver=RebasingFakeDriver(tmp_path / "fake"), read_seconds=25.0, unpackers=Unpackers()
    )  # fmt: skip


@pytest.fixture
def image(registry: TinyRegistry) -> ImageFixture:
    made = make_image({"a": b"1"}, {"b": b"2"}, BIG)
    registry.add("me/app", "1", made)
    return made


def ids(image: ImageFixture) -> list[str]:
    return [short_id(digest(layer)) for layer in image.layers]


def test_pull_brings_the_image_and_says_so_in_dockers_lines(
    registry: TinyRegistry, image: ImageFixture, bench: PullBench
) -> None:
    """The lines and their order are what makes the stock client draw its bars and what scripts read."""
    name = f"{registry.host}/me/app"
    lines = bench.pull(name, "1")
    assert lines[0] == {"status": "Pulling from me/app", "progressDetail": {}, "id": "1"}
    assert lines[-2:] == [
        {"status": f"Digest: {image.digest}"}, {"status": f"Status: Downloaded newer image for {name}:1"},
    ]  # fmt: skip
    for layer in ids(image):
        assert [word for word in said(lines, layer) if word != "Waiting"] == [
            "Pulling fs layer", "Downloading", "Verifying Checksum", "Download complete", "Extracting", "Pull complete",
        ]  # fmt: skip
    assert [line["id"] for line in lines if line["status"] == "Pull complete"] == ids(image)
    assert bench.tags.get(name, "1") == image.id
    assert bench.tags.get_digest(name, image.digest) == image.id
    assert bench.graph.get(image.id).config_bytes == image.config
    assert bench.events == [("image", "pull", f"{name}:1")]
    assert bench.leftovers() == []


def test_pull_again_is_up_to_date_and_fetches_no_layer(
    registry: TinyRegistry, image: ImageFixture, bench: PullBench
) -> None:
    """What is here is not fetched: a daily pull costs two small requests."""
    name = f"{registry.host}/me/app"
    bench.pull(name, "1")
    registry.seen.clear()
    lines = bench.pull(name, "1")
    assert lines[-1] == {"status": f"Status: Image is up to date for {name}:1"}
    assert [seen.path for seen in registry.requests("blobs") if digest(image.config) not in seen.path] == []


def test_shared_layers_exist_already(registry: TinyRegistry, image: ImageFixture, bench: PullBench) -> None:
    """Layers below are shared by content: only what is new comes over the wire."""
    newer = make_image({"a": b"1"}, {"b": b"2"}, {"c": b"new"})
    registry.add("me/app", "2", newer)
    bench.pull(f"{registry.host}/me/app", "1")
    registry.seen.clear()
    lines = bench.pull(f"{registry.host}/me/app", "2")
    assert [said(lines, layer) for layer in ids(newer)[:2]] == [["Already exists"]] * 2
    assert len(registry.requests("blobs")) == 2  # config and one layer


def test_each_download_is_a_job_below_the_pull(registry: TinyRegistry, image: ImageFixture, bench: PullBench) -> None:
    """The job trace shows the anatomy of a pull; `mini-docker jobs` draws it."""
    bench.pull(f"{registry.host}/me/app", "1")
    records = bench.engine.trace.records()
    (pull,) = [record for record in records if record.name == "pull"]
    children = [record for record in records if record.parent == pull.id]
    assert [record.name for record in children] == ["pull_manifest", *["pull_layer"] * 3, "log"]
    assert {record.args[1] for record in children if record.name == "pull_layer"} == set(map(digest, image.layers))
    assert all(record.status == 0 for record in records)


def test_pull_by_digest_sets_no_tag(registry: TinyRegistry, image: ImageFixture, bench: PullBench) -> None:
    """A digest names one content for ever, so there is no tag that it could move."""
    name = f"{registry.host}/me/app"
    lines = bench.pull(name, image.digest)
    assert lines[0]["id"] == f"{registry.host}/me/app@{image.digest}"  # as dockerd says it
    assert lines[-1]["status"] == f"Status: Downloaded newer image for {name}@{image.digest}"
    assert bench.tags.all() == {}
    assert bench.tags.get_digest(name, image.digest) == image.id
    assert bench.pull(name, image.digest)[-1]["status"].startswith("Status: Image is up to date")


def test_a_tag_beside_a_digest_is_not_moved(registry: TinyRegistry, image: ImageFixture, bench: PullBench) -> None:
    """The digest decides; what the tag names today is not asked."""
    name = f"{registry.host}/me/app"
    bench.pull(f"{name}:other@{image.digest}")
    assert bench.tags.all() == {}
    assert bench.tags.get_digest(name, image.digest) == image.id


def test_scratch_is_no_image(bench: PullBench) -> None:
    """FROM scratch means nothing at all; a pull of it is a mistake."""
    with pytest.raises(Invalid, match="'scratch' is a reserved name"):
        bench.pull("scratch", "latest")


def test_pull_without_a_tag_brings_all_tags(registry: TinyRegistry, image: ImageFixture, bench: PullBench) -> None:
    """``docker pull -a`` sends no tag; the list of tags comes in pages."""
    registry.page = 1
    registry.add("me/app", "2", make_image({"other": b"x"}))
    name = f"{registry.host}/me/app"
    lines = bench.pull(name)
    assert sorted(bench.tags.all()) == [f"{name}:1", f"{name}:2"]
    assert lines[-1]["status"] == f"Status: Downloaded newer image for {name}"


def test_pull_chooses_the_platform_from_an_index(registry: TinyRegistry, bench: PullBench) -> None:
    """The digest users see is the index's; the image is the one for the platform."""
    images = {name: make_image({"arch": name.encode()}, architecture=name) for name in ("amd64", "arm64")}
    entries = []
    for name, made in images.items():
        registry.add("me/multi", name, made)
        entries.append({"mediaType": made.media_type, "digest": made.digest, "size": len(made.manifest),
                        "platform": {"os": "linux", "architecture": name}})  # fmt: skip
    index = json.dumps({"schemaVersion": 2, "manifests": entries}).encode()
    index_digest = registry.add_index("me/multi", "1", media_types.OCI_INDEX, index)
    name = f"{registry.host}/me/multi"
    for platform, architecture in (("linux/arm64", "arm64"), ("linux/amd64", "amd64")):
        lines = bench.pull(name, "1", platform=platform)
        assert bench.tags.get(name, "1") == images[architecture].id
        assert lines[-2]["status"] == f"Digest: {index_digest}"
    with pytest.raises(NotFound, match="no matching manifest for linux/s390x in the manifest list entries"):
        bench.pull(name, "1", platform="linux/s390x")


def test_an_image_of_one_platform_is_pulled_with_a_warning(registry: TinyRegistry, bench: PullBench) -> None:
    """There is nothing to choose: whoever asks for another platform gets what there is, and is told so."""
    registry.add("me/app", "1", make_image({"a": b"1"}, architecture="amd64"))
    name = f"{registry.host}/me/app"
    assert bench.pull(name, "1", platform="linux/amd64")[-1]["status"].startswith("Status: ")
    assert bench.pull(name, "1", platform="linux/arm64")[-1]["status"] == (
        f"WARNING: image with reference {name} was found but does not match the specified platform: "
        "wanted linux/arm64, actual: linux/amd64"
    )


def test_one_layer_twice_in_an_image_is_fetched_once(registry: TinyRegistry, bench: PullBench) -> None:
    """Builders make the same (often empty) layer more than once."""
    registry.add("me/twice", "1", make_image({"a": b"same"}, {"a": b"same"}))
    bench.pull(f"{registry.host}/me/twice", "1")
    assert len(registry.requests("GET .*blobs")) == 2  # config and one layer


@pytest.mark.parametrize(
    ("image", "tag", "kind", "message"),
    [
        ("me/no", "1", NotFound, "manifest for {host}/me/no:1 not found: manifest unknown: manifest unknown"),
        ("me/app", "no", NotFound, "manifest for {host}/me/app:no not found: manifest unknown: manifest unknown"),
        ("me/app", "1 2", Invalid, "invalid tag format"),
        ("me/App", "1", Invalid, "invalid reference format: repository name (me/App) must be lowercase"),
        (
            "me/no",
            "",
            NotFound,
            "repository {host}/me/no not found: name unknown: repository name not known to registry",
        ),
    ],
)
def test_what_is_missing_is_told_before_the_first_line(
    registry: TinyRegistry, bench: PullBench, image: str, tag: str, kind: type[MiniDockerError], message: str
) -> None:
    """Raised before any output, so that the server can still answer 404 or 400 instead of 200 and a stream."""
    registry.add("me/app", "1", make_image({"a": b""}))
    job = bench.job(f"{registry.host}/{image}", tag)
    output = job.stdout.add_buffer()
    with pytest.raises(kind) as caught:
        job.run()
    assert str(caught.value) == message.format(host=registry.host)
    assert output.getvalue() == b""


def test_images_for_another_system_are_refused(registry: TinyRegistry, bench: PullBench) -> None:
    """Windows layers cannot be unpacked here; better said before than after a gigabyte."""
    registry.add("me/win", "1", make_image({"a": b""}, os="windows"))
    with pytest.raises(Unsupported, match='image operating system "windows" cannot be used on this platform'):
        bench.pull(f"{registry.host}/me/win", "1")


def test_a_config_that_does_not_fit_its_layers_is_refused(registry: TinyRegistry, bench: PullBench) -> None:
    """Diff ids and layers must pair up, else layers would be verified against each other's ids."""
    one, two = make_image({"a": b""}), make_image({"a": b""}, {"b": b""})
    value = json.loads(two.manifest)
    value["config"] = json.loads(one.manifest)["config"]
    registry.add("me/odd", "1", ImageFixture(json.dumps(value).encode(), one.config, two.layers))
    with pytest.raises(Invalid, match="layers from manifest don't match image configuration"):
        bench.pull(f"{registry.host}/me/odd", "1")


# ------------------------------------------------------------------ faults

LAYER = r"blobs/"


def on_blob(blob: bytes, *faults: Fault | None) -> object:
    """Misbehave in these ways for the first answers about one blob."""

    def misbehave(method: str, path: str, nth: int) -> Fault | None:
        return faults[nth] if digest(blob) in path and nth < len(faults) else None

    return misbehave


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("at", [0, 1, 5000, -1])
def test_a_cut_connection_is_taken_up_again(
    registry: TinyRegistry, image: ImageFixture, bench: PullBench, at: int, ranges: bool
) -> None:
    """Wherever it is cut, the pull goes on where it broke off; without ranges by skipping what it has."""
    layer = image.layers[2]
    registry.ranges = ranges
    cut = at % len(layer)
    registry.misbehave = on_blob(layer, Fault(cut_after=cut), Fault(cut_after=cut // 2))  # type: ignore[assignment]
    bench.pull(f"{registry.host}/me/app", "1")
    assert bench.graph.exists(image.id)
    tries = [seen.headers.get("range") for seen in registry.requests(digest(layer))]
    assert tries[:2] == [None, f"bytes={cut}-" if cut else None]
    assert bench.leftovers() == []


@pytest.mark.parametrize("at", [0, 7, 3000])
def test_a_flipped_bit_is_found_and_the_layer_fetched_again(
    registry: TinyRegistry, image: ImageFixture, bench: PullBench, at: int
) -> None:
    """The digest finds it though TCP did not; the first damage is forgiven."""
    registry.misbehave = on_blob(image.layers[2], Fault(flip_at=at))  # type: ignore[assignment]
    lines = bench.pull(f"{registry.host}/me/app", "1")
    assert bench.graph.exists(image.id)
    assert said(lines, ids(image)[2]).count("Pulling fs layer") == 2
    assert bench.leftovers() == []


def test_a_layer_that_stays_damaged_fails_clearly_and_leaves_nothing(
    registry: TinyRegistry, image: ImageFixture, bench: PullBench
) -> None:
    """A forged layer never becomes part of an image, and the next pull, from an honest registry, works."""
    layer = image.layers[1]
    registry.misbehave = on_blob(layer, *[Fault(flip_at=30)] * 99)  # type: ignore[assignment]
    with pytest.raises(Invalid, match=f"filesystem layer verification failed for digest {digest(layer)}"):
        bench.pull(f"{registry.host}/me/app", "1")
    assert bench.leftovers() == []
    assert bench.tags.all() == {}
    registry.misbehave = lambda method, path, nth: None
    bench.pull(f"{registry.host}/me/app", "1")
    assert bench.graph.exists(image.id)


def test_a_damaged_manifest_or_config_is_fetched_again(
    registry: TinyRegistry, image: ImageFixture, bench: PullBench
) -> None:
    """The papers are verified as the layers are."""
    registry.misbehave = lambda method, path, nth: (
        Fault(flip_at=50) if nth == 0 and ("manifests" in path or image.id in path) else None
    )
    bench.pull(f"{registry.host}/me/app", "1")
    assert bench.graph.exists(image.id)


@pytest.mark.parametrize("status", [500, 502, 503, 504, 429])
def test_a_registry_in_trouble_is_asked_again(
    registry: TinyRegistry, image: ImageFixture, bench: PullBench, status: int
) -> None:
    """Every request survives two bad answers."""
    registry.misbehave = lambda method, path, nth: Fault(status=status, body=b"<html>") if nth < 2 else None
    bench.pull(f"{registry.host}/me/app", "1")
    assert bench.graph.exists(image.id)


def test_retry_after_is_honoured_and_too_long_a_one_is_not_waited_for(
    registry: TinyRegistry, image: ImageFixture, bench: PullBench
) -> None:
    """A server that says when to come back is not pestered before; one that says tomorrow gets a clear error."""
    registry.misbehave = lambda method, path, nth: (
        Fault(status=429, headers=(("Retry-After", "0"),)) if "manifests" in path and nth == 0 else None
    )
    bench.pull(f"{registry.host}/me/app", "1")
    registry.misbehave = lambda method, path, nth: (
        Fault(status=429, headers=(("Retry-After", "86400"),)) if "manifests" in path else None
    )
    registry.seen.clear()
    with pytest.raises(Unavailable, match="toomanyrequests"):
        bench.pull(f"{registry.host}/me/app", "1")
    assert len(registry.requests("manifests")) == 1


@pytest.mark.parametrize("lie", [-10, 10])
def test_a_wrong_length_is_noticed(registry: TinyRegistry, image: ImageFixture, bench: PullBench, lie: int) -> None:
    """A Content-Length that is wrong once is like a cut; the digest has the last word."""
    registry.misbehave = on_blob(image.layers[2], Fault(lie=lie))  # type: ignore[assignment]
    bench.pull(f"{registry.host}/me/app", "1")
    assert bench.graph.exists(image.id)
    assert bench.leftovers() == []


def test_a_registry_that_always_cuts_fails_clearly(
    registry: TinyRegistry, image: ImageFixture, bench: PullBench
) -> None:
    """Without progress there is an end to patience."""
    registry.misbehave = on_blob(image.layers[0], *[Fault(cut_after=0)] * 99)  # type: ignore[assignment]
    with pytest.raises(Unavailable, match="broke off after 0 of"):
        bench.pull(f"{registry.host}/me/app", "1")
    assert bench.leftovers() == []


def test_a_stall_is_cut_and_taken_up_again(tmp_path: Path, registry: TinyRegistry, image: ImageFixture) -> None:
    """Silence for longer than the read timeout counts as a broken connection."""
    bench = PullBench(tmp_path, read_seconds=0.2)
    over = threading.Event()
    registry.misbehave = on_blob(image.layers[2], Fault(stall=over))  # type: ignore[assignment]
    try:
        bench.pull(f"{registry.host}/me/app", "1")
    finally:
        over.set()
    assert bench.graph.exists(image.id)


def test_redirected_blobs_are_followed_without_the_ticket(
    registry: TinyRegistry, image: ImageFixture, bench: PullBench
) -> None:
    """Registries keep blobs elsewhere; the ticket is for the registry's eyes only."""
    registry.auth = "bearer"
    with serving(TinyRegistry()) as storage:
        storage.blobs |= image.blobs
        registry.misbehave = lambda method, path, nth: (
            Fault(status=307, headers=(("Location", storage.url + path),)) if "blobs" in path else None
        )
        bench.pull(f"{registry.host}/me/app", "1")
        assert bench.graph.exists(image.id)
        assert len(storage.requests("blobs")) == 4
        assert all("authorization" not in seen.headers for seen in storage.seen)
    assert all("authorization" in seen.headers for seen in registry.requests("blobs"))


def test_a_redirect_loop_ends(registry: TinyRegistry, image: ImageFixture, bench: PullBench) -> None:
    """A hostile or broken registry cannot keep us busy for ever."""
    registry.misbehave = lambda method, path, nth: (
        Fault(status=302, headers=(("Location", path),)) if "manifests" in path else None
    )
    with pytest.raises(Unavailable, match="redirects"):
        bench.pull(f"{registry.host}/me/app", "1")


# ------------------------------------------------------------------ sharing and cancelling


@pytest.mark.parametrize("mute", [False, True])
def test_a_cancelled_pull_ends_at_once_and_leaves_nothing(
    registry: TinyRegistry, image: ImageFixture, bench: PullBench, mute: bool
) -> None:
    """The client pressed ctrl-c while a layer, or even its answer's head, stalls: nothing waits on, nothing stays."""
    stall = threading.Event()
    registry.misbehave = on_blob(image.layers[2], Fault(stall=stall, mute=mute))  # type: ignore[assignment]
    job = bench.job(f"{registry.host}/me/app", "1")
    failed: list[BaseException] = []

    def run() -> None:
        try:
            job.run()
        except Cancelled as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    wait_until(lambda: bool(bench.driver.layers()) and bool(registry.requests(digest(image.layers[2]))))
    job.cancel()
    thread.join(3)
    stall.set()
    assert not thread.is_alive()
    assert len(failed) == 1
    assert bench.leftovers() == []
    assert [record.name for record in bench.engine.trace.records() if record.status is None] == []


def test_what_a_crash_left_is_removed_at_the_next_start(tmp_path: Path) -> None:
    """A daemon that was killed had no time to remove its half layers; the next one does, and leaves others' files."""
    folder = tmp_path / "graph" / "tmp"
    folder.mkdir(parents=True)
    (folder / "layer-download-x").write_bytes(b"half a layer")
    (folder / "other").write_bytes(b"")
    LayerDownloads(folder)
    assert [path.name for path in folder.iterdir()] == ["other"]


def test_a_client_that_reads_no_more_cancels_the_pull(
    registry: TinyRegistry, image: ImageFixture, bench: PullBench
) -> None:
    """As a process dies of SIGPIPE: progress that nobody reads means a pull that nobody wants."""

    class Gone:
        def write(self, data: bytes) -> None:
            raise BrokenPipeError

    job = bench.job(f"{registry.host}/me/app", "1")
    job.stdout.add(Gone())
    with pytest.raises(Cancelled):
        job.run()
    assert bench.leftovers() == []


def test_two_pulls_of_one_image_are_one_download(registry: TinyRegistry, image: ImageFixture, bench: PullBench) -> None:
    """Whoever comes second reads along, and both see their own lines to the end."""
    stall = threading.Event()
    registry.misbehave = on_blob(image.layers[2], Fault(stall=stall))  # type: ignore[assignment]
    outputs: list[list[dict[str, object]]] = []
    threads = [
        threading.Thread(target=lambda: outputs.append(bench.pull(f"{registry.host}/me/app", "1"))) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(registry.requests("manifests")) == 2 and bool(registry.requests(digest(image.layers[2]))))
    wait_until(lambda: sum(bench.downloads._users.values()) >= 5)
    stall.set()
    for thread in threads:
        thread.join(10)
    assert len(outputs) == 2
    assert all(said(lines, ids(image)[2])[-1] == "Pull complete" for lines in outputs)
    assert len(registry.requests(digest(image.layers[2]))) == 1
    assert bench.leftovers() == []


@pytest.mark.parametrize("cancelled", ["first", "second"])
def test_a_cancelled_pull_does_not_hurt_one_that_shares_its_download(
    registry: TinyRegistry, image: ImageFixture, bench: PullBench, cancelled: str
) -> None:
    """Nobody's pull fails because a stranger pressed ctrl-c: the other goes on, or takes over."""
    stall = threading.Event()
    registry.misbehave = on_blob(image.layers[2], Fault(stall=stall))  # type: ignore[assignment]
    jobs = {name: bench.job(f"{registry.host}/me/app", "1") for name in ("first", "second")}
    ended: dict[str, BaseException | None] = {}

    def run(name: str) -> None:
        try:
            jobs[name].run()
            ended[name] = None
        except Cancelled as error:
            ended[name] = error

    threads = {name: threading.Thread(target=run, args=(name,)) for name in jobs}
    threads["first"].start()
    wait_until(lambda: bool(registry.requests(digest(image.layers[2]))))
    threads["second"].start()
    wait_until(lambda: bench.downloads._users.total() >= 4)
    jobs[cancelled].cancel()
    if cancelled == "second":
        wait_until(lambda: "second" in ended)
        stall.set()
    for thread in threads.values():
        thread.join(10)
    stall.set()
    assert {name for name, error in ended.items() if error is not None} == {cancelled}
    assert len(ended) == 2
    assert bench.graph.exists(image.id)
    assert bench.leftovers() == []


def test_many_downloads_wait_for_a_slot_in_order(registry: TinyRegistry, bench: PullBench) -> None:
    """Three at once, as Docker; the others say that they wait."""
    made = make_image(*[{str(number): b"x" * number} for number in range(6)])
    registry.add("me/six", "1", made)
    stall = threading.Event()
    registry.misbehave = lambda method, path, nth: Fault(stall=stall) if LAYER in path and made.id not in path else None
    job = bench.job(f"{registry.host}/me/six", "1")
    output = job.stdout.add_buffer()
    thread = threading.Thread(target=job.run)
    thread.start()
    wait_until(lambda: len(registry.requests("blobs")) == 4 and output.getvalue().count(b"Waiting") == 3)
    stall.set()
    thread.join(10)
    lines = [json.loads(line) for line in output.getvalue().splitlines()]
    waited = [layer for layer in ids(made) if "Waiting" in said(lines, layer)]
    assert waited == ids(made)[3:]


# ------------------------------------------------------------------ mirrors


def test_a_mirror_is_asked_first_and_the_origin_when_it_fails(tmp_path: Path) -> None:
    """A mirror that lacks the image, lies or is down costs a moment, not the pull; and it never learns the password."""
    made = make_image({"a": b"1"})
    credentials = "eyJ1c2VybmFtZSI6ImFubiIsInBhc3N3b3JkIjoic2VjcmV0In0="
    with serving(TinyRegistry(auth="basic")) as hub, serving(TinyRegistry()) as mirror:
        hub.add("library/app", "1", made)
        bench = PullBench(tmp_path, RegistryConfig(mirrors=(mirror.url,), hub=hub.url))
        bench.pull("app", "1", X_Registry_Auth=credentials)
        assert bench.graph.exists(made.id)
        assert mirror.requests("manifests")
        assert all("authorization" not in seen.headers for seen in mirror.seen)
        newer = make_image({"a": b"2"})
        mirror.add("library/app", "2", newer)
        hub.seen.clear()
        bench.pull("app", "2", X_Registry_Auth=credentials)
        assert bench.tags.get("app", "2") == newer.id
        assert hub.seen == []
    assert bench.leftovers() == []


def test_a_dead_registry_is_named(bench: PullBench) -> None:
    """Nobody listens: the error names the address and the reason."""
    with pytest.raises(
        Unavailable, match=r'Get "http://127.0.0.1:1/v2/": dial tcp 127.0.0.1:1: connect: connection refused'
    ):
        bench.pull("127.0.0.1:1/app", "1")

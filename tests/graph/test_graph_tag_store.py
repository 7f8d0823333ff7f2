"""The TagStore against a plain dictionary, and its file."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mini_docker.errors import Cancelled, Invalid, NotFound
from mini_docker.graph.pool import Pool
from mini_docker.graph.tag_store import TagStore
from tests.graph.layer_tars import memory_folder

repositories = st.sampled_from(["busybox", "me/bb", "127.0.0.1:5000/me/bb"])
tags = st.sampled_from(["latest", "1", "1.2-x"])
ids = st.sampled_from(["sha256:" + digit * 64 for digit in "abc"])


class TagStoreMachine(RuleBasedStateMachine):
    """Random changes, a reopening now and then: always the same as a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = memory_folder()
        self.path = Path(self.folder.name) / "repositories-fake.json"
        self.store = TagStore(self.path)
        self.model: dict[str, str] = {}

    def teardown(self) -> None:
        self.folder.cleanup()

    @rule(repository=repositories, tag=tags, image_id=ids)
    def set(self, repository: str, tag: str, image_id: str) -> None:
        old = self.model.get(f"{repository}:{tag}")
        assert self.store.set(repository, tag, image_id) == (None if old == image_id else old)
        self.model[f"{repository}:{tag}"] = image_id

    @rule(repository=repositories, digest=ids, image_id=ids)
    def set_digest(self, repository: str, digest: str, image_id: str) -> None:
        self.store.set_digest(repository, digest, image_id)
        self.model[f"{repository}@{digest}"] = image_id

    @rule(repository=repositories, tag=tags)
    def delete(self, repository: str, tag: str) -> None:
        reference = f"{repository}:{tag}"
        if reference in self.model:
            assert self.store.delete(repository, tag) == self.model.pop(reference)
        else:
            with pytest.raises(NotFound, match="No such image: " + reference):
                self.store.delete(repository, tag)

    @rule()
    def reopen(self) -> None:
        self.store = TagStore(self.path)

    @invariant()
    def agrees(self) -> None:
        assert self.store.all() | self.store.all_digests() == self.model
        for image_id in ["sha256:" + digit * 64 for digit in "abc"]:
            names = sorted(reference for reference, named in self.model.items() if named == image_id)
            assert sorted(self.store.by_id(image_id) + self.store.digests_by_id(image_id)) == names
        for reference, image_id in self.store.all().items():
            repository, _, tag = reference.rpartition(":")
            assert self.store.get(repository, tag) == image_id


TestTagStoreModel = TagStoreMachine.TestCase
TestTagStoreModel.settings = settings(max_examples=15, stateful_step_count=20, deadline=None)


def test_the_file_is_docker_s(tmp_path: Path) -> None:
    """References by repository, as ``repositories-<driver>`` had them: a reader can look it up."""
    store = TagStore(tmp_path / "repositories-fake.json")
    store.set("127.0.0.1:5000/bb", "latest", "sha256:1")
    assert json.loads((tmp_path / "repositories-fake.json").read_text()) == {
        "Repositories": {"127.0.0.1:5000/bb": {"127.0.0.1:5000/bb:latest": "sha256:1"}}
    }


def test_a_failed_save_changes_nothing(tmp_path: Path) -> None:
    """What was not made durable must not be visible either."""
    (tmp_path / "there").mkdir()
    store = TagStore(tmp_path / "there" / "repositories-fake.json")
    (tmp_path / "there").rmdir()
    with pytest.raises(OSError):
        store.set("busybox", "latest", "sha256:1")
    assert store.all() == {} and store.by_id("sha256:1") == []


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"Repositories": 1}', '{"Repositories": {"a": 1}}'])
def test_a_damaged_file_is_said_to_be(tmp_path: Path, text: str) -> None:
    """Rather than to lose all tags silently."""
    (tmp_path / "tags.json").write_text(text)
    with pytest.raises(Invalid, match="damaged"):
        TagStore(tmp_path / "tags.json")


def test_the_second_asker_shares_the_first_s_result() -> None:
    """Two pulls of one image are one download; another key is not held up."""
    pool: Pool[int] = Pool()
    waiting, go, results = threading.Event(), threading.Event(), []
    started = threading.Event()

    def first() -> int:
        started.set()
        assert go.wait(10)
        return 1

    threads = [threading.Thread(target=lambda: results.append(pool.run("a", first)))]
    threads[0].start()
    assert started.wait(10)
    threads.append(threading.Thread(target=lambda: results.append(pool.run("a", lambda: 2, waiting.set))))
    threads[1].start()
    assert waiting.wait(10)
    assert pool.run("b", lambda: 3) == 3
    go.set()
    for thread in threads:
        thread.join(10)
    assert results == [1, 1]
    assert pool.run("a", lambda: 4) == 4  # afterwards the lane is free again


@pytest.mark.parametrize(("error", "second"), [(NotFound("x"), "NotFound"), (Cancelled("gone"), "did it")])
def test_what_a_waiter_gets_when_the_first_fails(error: Exception, second: str) -> None:
    """The same failure; unless the first asker only went away: then the second does the work."""
    pool: Pool[str] = Pool()
    waiting, started, results = threading.Event(), threading.Event(), []

    def first() -> str:
        started.set()
        assert waiting.wait(10)
        raise error

    def ask(work, on_wait=None) -> None:  # type: ignore[no-untyped-def]
        try:
            results.append(pool.run("a", work, on_wait))
        except (NotFound, Cancelled) as failure:
            results.append(type(failure).__name__)

    threads = [threading.Thread(target=ask, args=(first,))]
    threads[0].start()
    assert started.wait(10)
    threads.append(threading.Thread(target=ask, args=(lambda: "did it", waiting.set)))
    threads[1].start()
    for thread in threads:
        thread.join(10)
    assert sorted(results) == sorted([type(error).__name__, second])

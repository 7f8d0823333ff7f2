"""Downloads under way: each layer comes in once, however many pulls want it, and can be read while it still grows.

    pull_layer ──▶ file ──▶ reader of pull 1, of pull 2, …

A download is a job of the pull that wanted the layer first and ends with it; should that pull be cancelled,
the others start anew. It knows no registry protocol (the job ``pull_layer`` does) and no graph.
"""

from __future__ import annotations

import io
import os
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mini_docker.daemon.jobs.layer_progress import PullProgress
from mini_docker.daemon.jobs.turns import KeyedTurns, Slots
from mini_docker.engine import Job
from mini_docker.errors import Cancelled

PREFIX = "layer-download-"
"""Of our files' names, so that those of a daemon that crashed are known for what they are."""
DOWNLOADS_AT_ONCE = 3
"""Docker's default of ``--max-concurrent-downloads``."""


class LayerDownload:
    """One layer that is coming in.

    *Fixed*: ``size``. *Guarded by the lock*: everything else; its bell rings when bytes, or the end, have come.

    Args:
        folder: where the bytes wait.
        size: bytes to come.
    """

    def __init__(self, folder: Path, size: int) -> None:
        self.size = size
        # Closing it removes its name; whoever has linked the file keeps the content.
        self._file = tempfile.NamedTemporaryFile(dir=folder, prefix=PREFIX, buffering=0)  # noqa: SIM115
        self._lock = threading.Condition()
        self._written = 0
        self._ended = False
        self._error: BaseException | None = None
        self._cancelled = False
        self._job: Job | None = None
        self._watchers: list[PullProgress] = []

    @property
    def path(self) -> Path:
        """The file that holds, or will hold, the layer."""
        return Path(self._file.name)

    def write(self, data: bytes) -> None:
        """Take the next bytes: the download job's standard output leads here.

        Raises:
            OSError: the disk is full.
        """
        rest = memoryview(data)
        while rest:
            rest = rest[os.pwrite(self._file.fileno(), rest, self._written + len(data) - len(rest)) :]
        with self._lock:
            self._written += len(data)
            written, watchers = self._written, list(self._watchers)
            self._lock.notify_all()
        for watcher in watchers:
            watcher.received(written)
            if written == self.size:
                watcher.verifying()

    def run(self, make_job: Callable[[], Job], slots: Slots, ticket: object) -> bool:
        """Do the download, in a thread of its own: wait for a slot, run the job, note how it ended.

        Returns:
            Whether it ended well.
        """
        try:
            with slots.turn(ticket, lambda: self._cancelled, lambda: self._tell(PullProgress.waiting)):
                job = make_job()
                job.stdout.add(self)
                with self._lock:
                    self._job = job
                    if self._cancelled:
                        job.cancel()
                job.run()
            self._tell(PullProgress.downloaded)
            self._end(None)
            return True
        except BaseException as error:  # whatever it is, the readers must learn of it
            self._end(error)
            return False

    def watch(self, watcher: PullProgress) -> None:
        """Report to *watcher* from now on; it is told at once when all is here."""
        with self._lock:
            self._watchers.append(watcher)
            complete = self._ended and self._error is None
        if complete:
            watcher.downloaded()

    def unwatch(self, watcher: PullProgress) -> None:
        """Report to *watcher* no more."""
        with self._lock:
            self._watchers.remove(watcher)

    def cancel(self) -> None:
        """End it early."""
        with self._lock:
            self._cancelled = True
            job = self._job
        if job is not None:
            job.cancel()

    def wait(self) -> BaseException | None:
        """Wait for the end; returns the error it ended with."""
        with self._lock:
            self._lock.wait_for(lambda: self._ended)
            return self._error

    def read_at(self, offset: int, buffer: memoryview, given_up: Callable[[], bool]) -> int:
        """Wait for bytes behind *offset* and put them into *buffer*; 0 at the end, once all is verified.

        Args:
            given_up: asked whenever `wake` is called.

        Raises:
            Whatever the download ended with. Cancelled: given up.
        """
        with self._lock:
            self._lock.wait_for(lambda: self._written > offset or self._ended or given_up())
            if given_up():
                raise Cancelled("gave up reading: whoever wanted the layer has ended")
            if self._error is not None:
                raise self._error
            available = self._written - offset
        return os.preadv(self._file.fileno(), [buffer[:available]], offset) if available > 0 else 0

    def wake(self) -> None:
        """Let those who wait for bytes ask whether they still want them."""
        with self._lock:
            self._lock.notify_all()

    def close(self) -> None:
        """Give the file back, once the download has ended."""
        self.wait()
        self._file.close()

    def _tell(self, what: Callable[[PullProgress], None]) -> None:
        with self._lock:
            watchers = list(self._watchers)
        for watcher in watchers:
            what(watcher)

    def _end(self, error: BaseException | None) -> None:
        with self._lock:
            self._ended, self._error = True, error
            self._lock.notify_all()


class LayerReader(io.RawIOBase):
    """Reads a layer from its start while it still comes in, as ``tail -f`` does, and ends only when it is verified.

    Args:
        download: what to read.
        on_read: told the bytes read so far before each further read; it may raise to stop.
    """

    def __init__(self, download: LayerDownload, on_read: Callable[[int], None]) -> None:
        super().__init__()
        self._download = download
        self._on_read = on_read
        self._offset = 0
        self._given_up = False

    def give_up(self) -> None:
        """Let who reads, in whatever thread, read no further."""
        self._given_up = True
        self._download.wake()

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """The next bytes, at most as long as *buffer*; 0 at the verified end."""
        self._on_read(self._offset)
        count = self._download.read_at(self._offset, memoryview(buffer), lambda: self._given_up)
        self._offset += count
        return count


class LayerDownloads:
    """The downloads under way, by digest.

    *Fixed*: the folder, the slots, the turns.
    *Guarded by the lock*: which downloads are under way, and how many use each.

    Args:
        folder: on the file system of the graph, which takes a finished file over without copying it. What an
            earlier daemon left there is removed.
        at_once: how many downloads there may be side by side.
    """

    def __init__(self, folder: Path, at_once: int = DOWNLOADS_AT_ONCE) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(f"{PREFIX}*"):
            left.unlink()
        self._folder = folder
        self._slots = Slots(at_once)
        self._unpacking = KeyedTurns()
        self._lock = threading.Lock()
        self._under_way: dict[str, LayerDownload] = {}
        self._users: Counter[LayerDownload] = Counter()

    @contextmanager
    def fetching(
        self, digest: str, size: int, make_job: Callable[[], Job], watcher: PullProgress
    ) -> Iterator[LayerDownload]:
        """While the block runs, the layer comes in, or has come.

        Args:
            make_job: makes the job that writes the layer to its standard output; unused when another's does already.
            watcher: is told how far it is.
        """
        with self._lock:
            download = self._under_way.get(digest)
            mine = download is None
            if download is None:
                download = self._under_way[digest] = LayerDownload(self._folder, size)
            self._users[download] += 1
        download.watch(watcher)
        if mine:
            name = f"pull_layer {digest[:19]}"
            work = (digest, download, make_job, self._slots.queue())
            threading.Thread(target=self._run, args=work, name=name, daemon=True).start()
        try:
            yield download
        finally:
            download.unwatch(watcher)
            if mine:
                download.cancel()  # as its job's parent ends now; complete, it does not notice
                self._slots.wake()
            self._leave(digest, download)

    @contextmanager
    def unpacking(self, job: Job, chain: str) -> Iterator[None]:
        """While the block runs, *job* alone unpacks the layer that ends the stack *chain*.

        The graph would let a second pull wait, too, but not let it go when its client does.

        Raises:
            Cancelled: the job was, while it waited.
        """
        with job.on_cancel(self._unpacking.wake), self._unpacking.turn(chain, lambda: job.cancelled):
            yield

    @contextmanager
    def unpacking_ahead(self, chain: str) -> Iterator[bool]:
        """As `unpacking`, but where another job unpacks the layer, it is not waited for and the block gets False."""
        if not self._unpacking.take(chain):
            yield False
            return
        try:
            yield True
        finally:
            self._unpacking.leave(chain)

    def _run(self, digest: str, download: LayerDownload, make_job: Callable[[], Job], ticket: object) -> None:
        if not download.run(make_job, self._slots, ticket):
            self._forget(digest, download)

    def _forget(self, digest: str, download: LayerDownload) -> None:
        """Let the next who wants the layer start anew."""
        with self._lock:
            if self._under_way.get(digest) is download:
                del self._under_way[digest]

    def _leave(self, digest: str, download: LayerDownload) -> None:
        with self._lock:
            self._users[download] -= 1
            if self._users[download]:
                return
            del self._users[download]
            if self._under_way.get(digest) is download:
                del self._under_way[digest]
        download.cancel()
        self._slots.wake()
        download.close()

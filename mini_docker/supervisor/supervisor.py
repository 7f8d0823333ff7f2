"""The Supervisor: holds containers for whatever daemon comes and goes.

It answers a handful of verbs, each by starting something whose end is an event of the loop. It
decides nothing: which container, which limits, whether to restart, are the daemon's to know.
"""

from __future__ import annotations

import base64
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from mini_docker.dataclasses import replace
from mini_docker.errors import Conflict, Invalid, MiniDockerError, NotFound
from mini_docker.libcontainer import console
from mini_docker.libcontainer.cgroups.manager import CgroupManager, parent_of
from mini_docker.libcontainer.config import ProcessSpec, from_json
from mini_docker.libcontainer.init import NETLINK_ROUTE
from mini_docker.libcontainer.parent import joinable_flags
from mini_docker.libcontainer.unnamed import CRADLE_PREFIX
from mini_docker.linux.dns_sockets import open_dns_sockets
from mini_docker.linux.errors import SyscallError
from mini_docker.linux.kernel import Kernel
from mini_docker.supervisor import protocol
from mini_docker.supervisor.births import Announcement, Births
from mini_docker.supervisor.blueprint import Blueprint
from mini_docker.supervisor.blueprint import read as read_blueprint
from mini_docker.supervisor.connection import Connection
from mini_docker.supervisor.container import HeldContainer, LogBell, ending_event, found_earlier
from mini_docker.supervisor.endings import Endings
from mini_docker.supervisor.loop import READ, Loop
from mini_docker.supervisor.process import HeldProcess, Outcome, Stage
from mini_docker.supervisor.protocol import Frame

LONELY_SECONDS = 5.0
"""How long it stays without containers when a daemon vanished: the next one may come at once."""


class Supervisor:
    """Holds containers; everything here happens in the loop's one thread.

    Args:
        run: the run folder, ours to keep endings in.
        stage: an empty directory, in which inits attach their roots (see `Births`).
        listener: where daemons connect.
    """

    def __init__(
        self, loop: Loop, kernel: Kernel, cgroups: CgroupManager, run: str, stage: str, listener: socket.socket
    ) -> None:
        self._loop = loop
        self._kernel = kernel
        self._cgroups = cgroups
        self._endings = Endings(f"{run}/endings")
        self._births = Births(loop, kernel, cgroups, stage)
        self._listener = listener
        self._announced: dict[str, tuple[Connection, Announcement]] = {}
        self._parents: set[str] = set()
        self._containers: dict[str, HeldContainer] = {}
        self._connections: set[Connection] = set()
        self._known: dict[Connection, Blueprint] = {}
        self._subscribers: set[Connection] = set()
        self._verbs: dict[str, Callable[[Connection, Frame, list[int]], None]] = {
            "subscribe": self._subscribe, "list": self._list, "announce": self._announce, "create": self._create,
            "start": self._start, "exec": self._exec, "signal": self._signal, "resize": self._resize,
            "attach": self._attach, "bell": self._bell, "network": self._network, "dns": self._dns, "root": self._root,
            "delete": self._delete, "leave": self._leave,
        }  # fmt: skip
        listener.setblocking(False)
        loop.watch(listener.fileno(), READ, self._accept)
        self._stay_if_needed()

    def close(self) -> None:
        """The end, when no container is held: nothing of ours is left, the cgroups' parents included if no daemon is
        there any more to see to them."""
        self._births.nursery.close()
        for parent in self._parents:
            with suppress(MiniDockerError):
                self._cgroups.prune(parent, CRADLE_PREFIX)

    # connections

    def _accept(self, _events: int) -> None:
        try:
            channel, _ = self._listener.accept()
        except BlockingIOError:
            return
        self._connections.add(Connection(self._loop, channel, self._answer, self._closed))

    def _closed(self, connection: Connection) -> None:
        self._connections.discard(connection)
        self._subscribers.discard(connection)
        self._known.pop(connection, None)
        for id_, (announcer, announced) in list(self._announced.items()):
            if announcer is connection:
                del self._announced[id_]
                announced.release(self._kernel)
        self._stay_if_needed()

    def _stay_if_needed(self) -> None:
        if not self._connections and not self._containers:
            self._loop.later(LONELY_SECONDS, self._leave_if_lonely)

    def _leave_if_lonely(self) -> None:
        if not self._connections and not self._containers:
            self._loop.stop()

    def _answer(self, connection: Connection, request: Frame, descriptors: list[int]) -> None:
        try:
            verb = self._verbs.get(str(request.get("verb")))
            if verb is None:
                raise Invalid(f"the supervisor has no verb {request.get('verb')!r}")
            verb(connection, request, descriptors)
        except MiniDockerError as error:
            connection.reply(protocol.error_frame(error))
        except OSError as error:
            connection.reply(protocol.error_frame(MiniDockerError(f"{request.get('verb')}: {error}")))
        except (LookupError, TypeError, ValueError) as error:
            connection.reply(protocol.error_frame(Invalid(f"{request.get('verb')}: bad request: {error!r}")))
        finally:
            # A verb that keeps a descriptor takes it out of the list.
            for descriptor in descriptors:
                os.close(descriptor)

    def _broadcast(self, event: dict[str, Any]) -> None:
        for subscriber in list(self._subscribers):
            subscriber.reply(event)

    # verbs

    def _subscribe(self, connection: Connection, _request: Frame, _descriptors: list[int]) -> None:
        self._subscribers.add(connection)
        connection.reply({})

    def _list(self, connection: Connection, _request: Frame, _descriptors: list[int]) -> None:
        found = [container.found() for container in self._containers.values()]
        found += [found_earlier(event) for event in self._endings.earlier.values()]
        connection.reply({"containers": found})

    def _root(self, connection: Connection, request: Frame, _descriptors: list[int]) -> None:
        container = self._get(request)
        connection.reply({}, (container.root,) if container.root >= 0 else ())

    def _announce(self, connection: Connection, request: Frame, descriptors: list[int]) -> None:
        """Read who will be created, while the daemon makes what it needs. Whoever hangs up meanwhile takes it back."""
        id_: str = request["container"]
        if id_ in self._containers or id_ in self._announced:
            raise Conflict(f"container {id_} exists in the supervisor already")
        blueprint = read_blueprint(request["blueprint"], self._known.get(connection))
        birth = self._births.plan(id_, blueprint)
        self._known[connection] = blueprint
        if request["narrate"]:
            birth = replace(birth, terms=replace(birth.terms, narration=descriptors.pop()))
        announced = self._births.announce(birth, request["stdio"])
        self._announced[id_] = connection, announced
        self._parents.add(parent_of(birth.spec.cgroup))
        connection.reply({"limited": announced.limited})

    def _create(self, connection: Connection, request: Frame, descriptors: list[int]) -> None:
        id_: str = request["container"]
        if id_ not in self._announced:
            raise Conflict(f"container {id_} is created before it was announced")
        _, announced = self._announced.pop(id_)

        def sandboxed(outcome: Outcome) -> None:
            if outcome is not None:
                # It never came to be: nobody will delete it.
                self._forget(id_)
                connection.reply(protocol.error_frame(outcome))
                return
            sent = (init.namespace, init.netlink) if init.namespace >= 0 else ()
            connection.reply({"pid": init.pid, "network": bool(sent)}, sent)
            init.close_netlink()

        root = -1
        try:
            root = descriptors.pop() if request["has_root"] else -1
            birth = replace(announced.birth, root=root, root_path=request["root_path"])
            init = self._births.bear(
                announced, birth, sandboxed, lambda: self._init_ended(id_), lambda: self._ring(id_)
            )
        except BaseException:
            if root >= 0:
                os.close(root)
            raise
        finally:
            announced.release(self._kernel)  # what failed to be taken; and, always, our end of the narration
        container = HeldContainer(id_, birth.spec.cgroup, joinable_flags(birth.spec), init, root)
        self._containers[id_] = container
        self._births.nursery.expect_like(birth)
        if birth.spec.resources.memory_bytes > 0:
            self._watch_oom(container)

    def _watch_oom(self, container: HeldContainer) -> None:
        """Tell the daemon when the kernel kills for want of memory, which need not end the container."""
        watch = self._cgroups.watch_oom(container.cgroup)
        if watch is None:
            return

        def moved(_events: int) -> None:
            for _ in range(watch.drain()):
                self._broadcast({"event": "oom", "container": container.id})

        container.oom_watch = watch
        self._loop.watch(watch.fileno(), watch.events, moved)

    def _stop_watching_oom(self, container: HeldContainer) -> None:
        watch, container.oom_watch = container.oom_watch, None
        if watch is not None:
            for _ in range(watch.drain()):
                self._broadcast({"event": "oom", "container": container.id})
            self._loop.forget(watch.fileno())
            watch.close()

    def _start(self, connection: Connection, request: Frame, _descriptors: list[int]) -> None:
        container = self._get(request)
        container.init.proceed(
            lambda outcome: _reply_outcome(connection, outcome, {"warnings": container.init.warnings})
        )

    def _exec(self, connection: Connection, request: Frame, descriptors: list[int]) -> None:
        container, execution = self._get(request), request["execution"]
        if container.init.stage is not Stage.RUNNING:
            raise Conflict(f"container {container.id} is not running")
        if execution in container.execs:
            raise Conflict(f"exec {execution} exists already")
        process = from_json(ProcessSpec, request["process"])
        failed = False

        def executed(outcome: Outcome) -> None:
            nonlocal failed
            failed = outcome is not None
            _reply_outcome(connection, outcome, {"pid": held.pid, "warnings": held.warnings})

        def ended() -> None:
            if failed:
                container.execs.pop(execution).release()
            else:
                self._exec_ended(container, execution)

        held = self._births.bear_further(
            container, process, base64.b64decode(request["seccomp"]), request["stdio"], ended
        )
        container.execs[execution] = held
        if descriptors:
            held.stdio.attach(socket.socket(fileno=descriptors.pop()), request["stdio"]["open_stdin"])
        held.proceed(executed)

    def _signal(self, connection: Connection, request: Frame, _descriptors: list[int]) -> None:
        self._process(request).signal(request["number"])
        connection.reply({})

    def _resize(self, connection: Connection, request: Frame, _descriptors: list[int]) -> None:
        terminal = self._process(request).stdio.terminal
        if terminal < 0:
            raise Invalid("the process has no terminal to resize")
        console.set_size(self._kernel, terminal, request["rows"], request["columns"])
        connection.reply({})

    def _attach(self, connection: Connection, request: Frame, descriptors: list[int]) -> None:
        process = self._process(request)
        process.stdio.attach(socket.socket(fileno=descriptors.pop()), request["stdin"])
        connection.reply({})

    def _bell(self, connection: Connection, request: Frame, descriptors: list[int]) -> None:
        container = self._get(request)
        channel = socket.socket(fileno=descriptors.pop())
        if container.init.stage is Stage.ENDED:
            channel.close()
        else:
            LogBell(self._loop, channel, container)
        connection.reply({})

    def _network(self, connection: Connection, request: Frame, _descriptors: list[int]) -> None:
        container = self._get(request)
        if container.init.namespace < 0 or container.init.stage is Stage.ENDED:
            raise Conflict(f"container {container.id} has no network namespace of its own now")
        netlink = open_netlink_in(self._kernel, container.init.namespace)
        try:
            connection.reply({"pid": container.init.pid, "network": True}, (container.init.namespace, netlink))
        finally:
            os.close(netlink)

    def _dns(self, connection: Connection, request: Frame, _descriptors: list[int]) -> None:
        container = self._get(request)
        if container.init.namespace < 0 or container.init.stage is Stage.ENDED:
            raise Conflict(f"container {container.id} has no network namespace of its own now")
        with inside(self._kernel, container.init.namespace):
            try:
                sockets = open_dns_sockets()
            except OSError as error:
                raise Conflict(f"container {container.id}: 127.0.0.11:53: {error.strerror}") from None
        try:
            connection.reply({}, (sockets.datagrams.fileno(), sockets.streams.fileno()))
        finally:
            sockets.close()

    def _delete(self, connection: Connection, request: Frame, _descriptors: list[int]) -> None:
        container = self._containers.get(request["container"])
        if container is None or container.init.stage is Stage.ENDED:
            self._forget(request["container"])
            self._answer_deleted([connection], container)
            self._births.nursery.quiet()
        else:
            # The answer says that nothing is left, so it waits for the end.
            container.deleted_by.append(connection)
            container.init.signal(signal.SIGKILL)

    def _answer_deleted(self, connections: list[Connection], container: HeldContainer | None) -> None:
        """Say that nothing is left of it, and whether that goes for its cgroup: then we take that away.

        A daemon that did it itself would let its client wait for nine trees, 0.3 ms. If anybody is left in there it is
        the daemon's to say what becomes of him.
        """
        deserted = False
        if container is not None:
            with suppress(SyscallError):  # the daemon, who tries again, will hear why
                deserted = self._cgroups.try_delete(container.cgroup, only_first=True)
        for connection in connections:
            connection.reply({"deserted": deserted})
        if container is not None and deserted:
            self._take_away(container.cgroup)

    def _take_away(self, cgroup: str, tries: int = 10) -> None:
        """Remove what is left of it; nobody hears of a failure any more, so it is tried again for some seconds."""
        if any(container.cgroup == cgroup for container in self._containers.values()):
            return  # it was started again
        with suppress(SyscallError):
            if self._cgroups.try_delete(cgroup):
                return
        if tries:
            self._loop.later(0.5, lambda: self._take_away(cgroup, tries - 1))

    def _leave(self, connection: Connection, _request: Frame, _descriptors: list[int]) -> None:
        """The daemon ends in order: without containers nobody needs us any more."""
        connection.reply({})
        if not self._containers:
            self._loop.stop()

    # ends

    def _init_ended(self, id_: str) -> None:
        container = self._containers.get(id_)
        if container is None:
            return
        oom_killed = self._cgroups.oom_kill_count(container.cgroup) > 0
        self._stop_watching_oom(container)
        event = container.ended(oom_killed)
        self._broadcast(event)
        # After it, not to keep a daemon waiting that is there: it stores the end before it has us forget the container.
        self._endings.note(id_, event)
        if container.deleted_by:
            self._forget(id_)
            self._answer_deleted(container.deleted_by, container)

    def _exec_ended(self, container: HeldContainer, execution: str) -> None:
        event = ending_event(container, execution)
        # Its attachers are served on; the process itself is history.
        self._broadcast(event)
        container.execs.pop(execution).close()

    def _forget(self, id_: str) -> None:
        container = self._containers.pop(id_, None)
        self._endings.forget(id_)
        if container is not None:
            self._stop_watching_oom(container)
            container.release()
            self._stay_if_needed()

    def _ring(self, id_: str) -> None:
        container = self._containers.get(id_)
        if container is not None:
            container.ring()

    def _get(self, request: Frame) -> HeldContainer:
        container = self._containers.get(request["container"])
        if container is None:
            raise NotFound(f"the supervisor holds no container {request['container']}")
        return container

    def _process(self, request: Frame) -> HeldProcess:
        container = self._get(request)
        if not request["execution"]:
            return container.init
        process = container.execs.get(request["execution"])
        if process is None:
            raise Conflict(f"exec {request['execution']} is not running")
        return process


def open_netlink_in(kernel: Kernel, namespace: int) -> int:
    """A NETLINK_ROUTE socket opened inside a network namespace, for use from outside."""
    with inside(kernel, namespace):
        return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_ROUTE).detach()


@contextmanager
def inside(kernel: Kernel, namespace: int) -> Iterator[None]:
    """This process is in that network namespace while the block runs, to open sockets there.

    It has one thread and comes back at once, so nobody else is ever seen in there.
    """
    home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        kernel.setns(namespace, 0)
        try:
            yield
        finally:
            kernel.setns(home, 0)
    finally:
        os.close(home)


def _reply_outcome(connection: Connection, outcome: Outcome, reply: Frame) -> None:
    connection.reply(reply if outcome is None else protocol.error_frame(outcome))

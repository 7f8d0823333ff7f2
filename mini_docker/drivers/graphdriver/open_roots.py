"""Open roots: a cloakroom. The first who opens a layer hangs up its mount, the last who closes it takes it down.

Unmounting may write a whole disk cache back, so the background does it. Until it has begun, a new open takes
the mount back from the hook; once it has begun, a new open waits: two overlays on one upper directory
at a time are undefined behaviour.

It knows nothing of how a layer is mounted.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial

from mini_docker.dataclasses import dataclass
from mini_docker.drivers.graphdriver.background import Background
from mini_docker.drivers.graphdriver.contract import MountedRoot
from mini_docker.errors import Conflict


@dataclass(slots=True)
class _Hook:
    root: MountedRoot
    opens: int


class OpenRoots:
    """The mounted roots of a driver's open layers, by layer id.

    Args:
        background: closes descriptors.
        before_closing: what a driver does with a root before it goes.
    """

    def __init__(
        self, background: Background, before_closing: Callable[[MountedRoot], None] = lambda root: None
    ) -> None:
        # fixed
        self._background = background
        self._before_closing = before_closing
        self._changed = threading.Condition()
        # guarded by _changed
        self._hooks: dict[str, _Hook] = {}
        self._closing: set[str] = set()

    def open(self, layer_id: str, mount: Callable[[], MountedRoot]) -> MountedRoot:
        """The layer's root: the one there is, or what *mount* makes. Counts as one open."""
        with self._changed:
            self._changed.wait_for(lambda: layer_id not in self._closing)
            hook = self._hooks.get(layer_id)
            if hook is None:
                hook = self._hooks[layer_id] = _Hook(mount(), 0)
            hook.opens += 1
            return hook.root

    def share(self, layer_id: str) -> MountedRoot | None:
        """The root of a layer that somebody has open; None if nobody has. A root given counts as one open."""
        with self._changed:
            hook = self._hooks.get(layer_id)
            if hook is None or not hook.opens:
                return None
            hook.opens += 1
            return hook.root

    def settle(self, layer_ids: Iterable[str]) -> None:
        """Wait until what nobody has open any more is unmounted, for whoever needs what lies under the mount."""
        with self._changed:
            unused = [layer_id for layer_id in layer_ids if self._is_idle(layer_id)]
        for layer_id in unused:
            self._take_down(layer_id)
        with self._changed:
            self._changed.wait_for(lambda: self._closing.isdisjoint(unused))

    def _is_idle(self, layer_id: str) -> bool:
        hook = self._hooks.get(layer_id)
        return layer_id in self._closing or (hook is not None and not hook.opens)

    def adopt(self, layer_id: str, mount: Callable[[], MountedRoot]) -> MountedRoot:
        """Hang up a root that someone else mounted, which *mount* brings. Counts as one open.

        Raises:
            Conflict: the layer is mounted already.
        """
        with self._changed:
            if layer_id in self._hooks or layer_id in self._closing:
                raise Conflict(f"layer {layer_id} is open already and cannot take over another mount")
            hook = self._hooks[layer_id] = _Hook(mount(), 1)
            return hook.root

    def close(self, layer_id: str) -> None:
        """Give one open back.

        Raises:
            Conflict: the layer is not open.
        """
        with self._changed:
            hook = self._hooks.get(layer_id)
            if hook is None or not hook.opens:
                raise Conflict(f"layer {layer_id} is not open")
            hook.opens -= 1
            if not hook.opens:
                self._background.put(partial(self._take_down, layer_id))

    @contextmanager
    def kept_closed(self, layer_id: str) -> Iterator[None]:
        """Nobody can open any layer meanwhile: keep it short.

        Raises:
            Conflict: the layer is open.
        """
        with self._changed:
            hook = self._hooks.get(layer_id)
            if hook is not None and hook.opens:
                raise Conflict(f"layer {layer_id} is open")
            yield

    def _take_down(self, layer_id: str) -> None:
        with self._changed:
            hook = self._hooks.get(layer_id)
            if hook is None or hook.opens:
                return  # opened again since
            del self._hooks[layer_id]
            self._closing.add(layer_id)
        try:
            try:
                self._before_closing(hook.root)
            finally:
                if hook.root.descriptor >= 0:
                    os.close(hook.root.descriptor)
        finally:
            with self._changed:
                self._closing.discard(layer_id)
                self._changed.notify_all()

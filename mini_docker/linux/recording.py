"""A kernel door that only writes down: plans' applies are tested with it, without root."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from mini_docker.linux.errors import SyscallError
from mini_docker.linux.kernel import Kernel


class RecordingKernel:
    """Stands in the door of `Kernel` and notes each call.

    Attributes:
        calls: every call so far, as (name, positional arguments).

    Args:
        results: what a call of that name answers, instead of None (descriptors count up from 100).
        failures: errno by call name: that call raises `SyscallError`.
    """

    def __init__(self, results: dict[str, Any] | None = None, failures: dict[str, int] | None = None) -> None:
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        self._results = results or {}
        self._failures = failures or {}
        self._next_descriptor = 100

    def door(self) -> Kernel:
        """This object, as the type checker should see it."""
        return cast(Kernel, self)

    def names(self) -> list[str]:
        """The names of the calls so far."""
        return [name for name, _ in self.calls]

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_") or name not in Kernel.__dict__:
            raise AttributeError(f"the kernel door has no {name!r}")

        def call(*args: Any, **kwargs: Any) -> Any:
            arguments = (*args, *kwargs.values())
            self.calls.append((name, arguments))
            if name in self._failures:
                raise SyscallError(name, arguments, self._failures[name])
            if name in self._results:
                result = self._results[name]
                return result(*args, **kwargs) if callable(result) else result
            if name in {"fsopen", "fsmount", "open_tree", "openat2", "pidfd_open"}:
                self._next_descriptor += 1
                return self._next_descriptor
            return None

        return call

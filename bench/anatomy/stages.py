"""From a list of calls to stages: each call belongs to the stage that a landmark before it opened. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from bench.anatomy.timed_kernel import Call
from bench.spread import Spread

Landmark = Callable[[Sequence[Call], int], bool]
"""Whether the call at an index opens the stage."""


def _named(name: str) -> Landmark:
    return lambda calls, index: calls[index].name == name


def _row(*names: str) -> Landmark:
    return lambda calls, index: tuple(call.name for call in calls[index : index + len(names)]) == names


def _after(name: str) -> Landmark:
    return lambda calls, index: index > 0 and calls[index - 1].name == name and calls[index].name != name


def _protect(calls: Sequence[Call], index: int) -> bool:
    """When all is attached, a mount is changed or picked up once more."""
    return _after("move_mount")(calls, index) and calls[index].name in ("mount_setattr", "open_tree")


INIT_STAGES: tuple[tuple[str, Landmark], ...] = (
    ("cloned: the child's first instruction", _named("born")),
    ("descriptors closed, signals, memory hidden", _named("close_range")),
    ("cgroups joined", _named("write_file")),
    ("session keyring", _named("join_session_keyring")),
    ("the host's files and the root picked up", _named("mount")),
    ("host name; network namespace shown", _named("sethostname")),
    ("own file systems made, device nodes", _named("fsopen")),
    ("pivot into the root", _row("move_mount", "mount", "pivot_root")),
    ("mounts attached", _after("umount")),
    ("paths masked and write-protected", _protect),
    ("parked, told to proceed, streams", _named("close_range at exec")),
    ("seccomp filter", _named("seccomp")),
    ("capabilities and user", _after("seccomp")),
    ("command looked up", _named("execve")),
)
"""The stages of an init in order, each with what opens it; one that a container does not need is passed over."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of one birth; nanoseconds.

    Attributes:
        took: from the end of the stage before to the end of its last call.
        in_kernel: of that, inside the door's calls; the rest is Python and calls beside the door.
        calls: how many.
    """

    name: str
    took: int
    in_kernel: int
    calls: int


def stages_of(calls: Sequence[Call], landmarks: Sequence[tuple[str, Landmark]] = INIT_STAGES) -> list[Stage]:
    """The stages of one process's life, by *landmarks*. The first call must open one."""
    made: list[Stage] = []
    current = -1
    end = calls[0].began if calls else 0
    for index, call in enumerate(calls):
        opened = next(
            (number for number in range(current + 1, len(landmarks)) if landmarks[number][1](calls, index)), -1
        )
        if opened >= 0:
            current = opened
            made.append(Stage(landmarks[opened][0], 0, 0, 0))
        last = made[-1]
        made[-1] = Stage(last.name, last.took + call.ended - end, last.in_kernel + call.took, last.calls + 1)
        end = call.ended
    return made


@dataclass(frozen=True, slots=True)
class Row:
    """A stage over many births; nanoseconds."""

    name: str
    took: Spread
    in_kernel: float
    calls: float


def rows(births: Iterable[Sequence[Stage]]) -> list[Row]:
    """One row a stage, in the order of the first birth."""
    by_name: dict[str, list[Stage]] = {}
    for birth in births:
        for stage in birth:
            by_name.setdefault(stage.name, []).append(stage)
    return [
        Row(
            name,
            Spread.of([stage.took for stage in stages]),
            Spread.of([stage.in_kernel for stage in stages]).median,
            Spread.of([stage.calls for stage in stages]).median,
        )
        for name, stages in by_name.items()
    ]

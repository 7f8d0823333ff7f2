"""Our dataclasses: whatever the standard library's do, ours do, for all that this house asks of them."""

from __future__ import annotations

import copy
import dataclasses as standard
import inspect
import pickle
import subprocess
import sys
import threading
import typing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mini_docker import dataclasses as ours

NAMES = ("a", "b", "c", "d")
values = st.one_of(st.integers(0, 3), st.text("xy", max_size=2), st.none(), st.tuples(st.integers(0, 3)))


@st.composite
def shapes(draw: st.DrawFn) -> tuple[dict[str, dict[str, Any]], dict[str, bool]]:
    """Fields by name, each with what is said of it, those with a default last; and the class's flags."""
    count = draw(st.integers(0, 4))
    first_default = draw(st.integers(0, count))
    fields = {}
    for index, name in enumerate(NAMES[:count]):
        said: dict[str, Any] = {"compare": draw(st.booleans()), "repr": draw(st.booleans())}
        if index >= first_default:
            said |= draw(st.sampled_from([{"default": 1}, {"default": ()}, {"default_factory": list}]))
        fields[name] = said
    flags = {flag: draw(st.booleans()) for flag in ("frozen", "slots", "order")}
    return fields, flags


def made(library: Any, shape: tuple[dict[str, dict[str, Any]], dict[str, bool]]) -> Any:
    """The same class, made by one of the two libraries."""
    fields, flags = shape
    body: dict[str, Any] = {"__annotations__": dict.fromkeys(fields, "object"), "__module__": __name__}
    body |= {name: library.field(**said) for name, said in fields.items()}
    body["twice"] = lambda self: (self, self)
    return library.dataclass(**flags)(type("Made", (), body))


def outcome(action: Any, *args: Any, **named: Any) -> Any:
    """What comes of it: a value, or the name of the error."""
    try:
        return action(*args, **named)
    except Exception as error:
        return type(error).__name__


def refused(action: Any, *args: Any) -> bool:
    """Whether it fails. (Of a class with slots and without such a field the standard library says TypeError.)"""
    return isinstance(outcome(action, *args), str)


@given(shapes(), st.lists(values, max_size=5), st.dictionaries(st.sampled_from((*NAMES, "z")), values))
def test_objects_are_built_shown_and_compared_as_the_standard_ones(
    shape: tuple[dict[str, dict[str, Any]], dict[str, bool]], args: list[Any], named: dict[str, Any]
) -> None:
    """Built from the same arguments or refused for the same reason; equal, ordered, hashed and shown alike."""
    classes = [made(standard, shape), made(ours, shape)]
    results = []
    for library, cls in zip((standard, ours), classes, strict=True):
        built = outcome(cls, *args, **named)
        if isinstance(built, str):
            results.append(built)
            continue
        same, plain = cls(*args, **named), [getattr(built, name) for name in shape[0]]
        results.append([
            plain, repr(built), built == same, built != same, built == plain, outcome(lambda a, b: a < b, built, same),
            outcome(lambda a, b: a >= b, built, same), outcome(hash, built), cls.__match_args__,
            refused(setattr, built, "a", 5), refused(delattr, built, "a"), refused(setattr, built, "other", 5),
            hasattr(built, "__dict__"), len(built.twice()),
            [(field.name, field.compare, field.repr) for field in library.fields(cls)],
        ])  # fmt: skip
    assert results[1] == results[0]


@given(shapes(), st.dictionaries(st.sampled_from((*NAMES, "z")), values))
def test_an_object_is_replaced_and_taken_apart_as_a_standard_one(
    shape: tuple[dict[str, dict[str, Any]], dict[str, bool]], changes: dict[str, Any]
) -> None:
    """`replace` goes through ``__init__``; `asdict` reaches the dataclasses in lists, tuples and dicts."""
    results = []
    for library in (standard, ours):
        cls = made(library, shape)
        inner = cls(**dict.fromkeys(shape[0], 2))
        changed = outcome(library.replace, inner, **changes)
        outer = cls(**{name: [inner, {"in": inner}, (inner,)] for name in shape[0]})
        results.append([changed if isinstance(changed, str) else library.asdict(changed), library.asdict(outer)])
        assert library.is_dataclass(cls)
        assert library.is_dataclass(inner)
    assert results[1] == results[0]
    assert not ours.is_dataclass(3)


@ours.dataclass(frozen=True, slots=True)
class Pair:
    """Two numbers; the second may be left out."""

    first: int
    second: int = 2

    def __post_init__(self) -> None:
        if self.first > self.second:
            raise ValueError("descending")


@ours.dataclass(frozen=True, slots=True)
class Even:
    """One with an equality of its own."""

    number: int

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Even) and (self.number - other.number) % 2 == 0

    def __hash__(self) -> int:
        return self.number % 2


def test_the_first_object_writes_the_init_and_is_checked_by_it() -> None:
    """``__post_init__`` runs for the first object as for all others."""
    with pytest.raises(ValueError, match="descending"):
        Pair(3)
    assert Pair(1) == Pair(1, 2)
    assert list(inspect.signature(Pair).parameters) == ["first", "second"]
    with pytest.raises(TypeError, match=r"Pair.__init__\(\) missing 1 required positional argument: 'first'"):
        Pair()  # type: ignore[call-arg]


def test_what_a_class_says_itself_stays() -> None:
    """Its own methods are not written over; it is known by its name and module."""
    assert Even(1) == Even(3) != Even(2)
    assert len({Even(1), Even(3), Even(2)}) == 2
    assert (Pair.__name__, Pair.__qualname__, Pair.__module__, Pair.__doc__) == (
        "Pair", "Pair", __name__, "Two numbers; the second may be left out.",
    )  # fmt: skip
    assert typing.get_type_hints(Pair) == {"first": int, "second": int}


def test_patterns_match_by_place() -> None:
    """``case Pair(1, second)`` works."""
    match Pair(1, 5):
        case Pair(1, second):
            assert second == 5
        case _:
            raise AssertionError("no match")


def test_many_threads_may_make_the_first_object() -> None:
    """Whoever finds the ``__init__`` already written uses that."""
    for _ in range(50):
        cls = made(ours, ({"a": {}, "b": {"default": 1}}, {"frozen": True, "slots": True, "order": False}))
        gate, seen = threading.Barrier(4), []

        def build(cls: Any = cls, gate: threading.Barrier = gate, seen: list[Any] = seen) -> None:
            gate.wait()
            seen.append(cls(7))

        threads = [threading.Thread(target=build) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert seen == [cls(7)] * 4


def test_objects_are_copied_and_pickled() -> None:
    """Frozen ones with slots too."""
    for twin in (copy.copy(Pair(1, 3)), copy.deepcopy(Pair(1, 3)), pickle.loads(pickle.dumps(Pair(1, 3)))):
        assert twin == Pair(1, 3) and twin is not Pair(1, 3)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"a": ("int", 1), "b": ("int", ours.MISSING)}, "b: a field without a default follows a"),
        ({"a": ("list[int]", [])}, "a: all objects would share that default"),
        ({"a": ("ClassVar[int]", 1)}, "a: ClassVar and InitVar are not known"),
        ({"a": ("dataclasses.InitVar[int]", ours.MISSING)}, "a: ClassVar and InitVar are not known"),
    ],
)
def test_what_is_not_known_here_is_refused_at_once(fields: dict[str, tuple[str, object]], reason: str) -> None:
    """Not when the first object is made, which may be late."""
    body: dict[str, Any] = {"__annotations__": {name: kind for name, (kind, _) in fields.items()}}
    body |= {name: default for name, (_, default) in fields.items() if default is not ours.MISSING}
    with pytest.raises(TypeError, match=reason):
        ours.dataclass(type("Made", (), body))
    with pytest.raises(TypeError, match="inherits from no other"):
        ours.dataclass(type("Heir", (Pair,), {"__annotations__": {}}))


@pytest.mark.parametrize("role", ["mini_docker.supervisor.main", "mini_docker.runc.commands"])
def test_who_lives_for_milliseconds_loads_no_inspect(role: str) -> None:
    """That is what this module is for: ``ast``, ``dis`` and ``tokenize`` stay away with it."""
    program = f"import sys; sys.path[:0] = {sys.path!r}; import {role}; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-IS", "-c", program], capture_output=True, text=True, check=True)
    assert not {"dataclasses", "inspect", "ast", "dis"} & set(run.stdout.split())

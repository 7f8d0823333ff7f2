"""Dataclasses that write a method when somebody first calls it: the standard library's, at a twentieth of their price.

A house that plans as data has hundreds of them. The standard module writes six methods of each as source text and
compiles them when the class is made, and loads ``inspect`` with all its relations for that. Most processes of ours need
a few of their classes, for a few milliseconds.

So here a class is made with methods that all classes share. One is written for each class, its ``__init__``, and that
when the first object is made: it is called too often to be anything but straight code.

It has what this house asks for, no more: no inheritance between dataclasses, no ``ClassVar`` or ``InitVar``, no
``kw_only``, and no ``super()`` without arguments. What it lacks it refuses when the class is made. A type checker
never reads this file: `dataclasses.pyi` tells it that these are the standard ones.

Source: PEP 557 (dataclasses), PEP 634 (``__match_args__``), the data model (``__slots__``, ``__hash__``).
"""

from __future__ import annotations

import operator


class FrozenInstanceError(AttributeError):
    """Someone tried to change a frozen object."""


class _Missing:
    """There is none: no default, no argument."""

    def __repr__(self):
        return "<missing>"


MISSING = _Missing()


class Field:
    """One field of a dataclass: what `field` says of it, and its name."""

    __slots__ = ("compare", "default", "default_factory", "metadata", "name", "repr")
    init = True  # whoever shows objects (hypothesis, rich) asks which fields ``__init__`` takes: here all

    def __init__(self, default, default_factory, compare, repr, metadata):
        self.name = ""
        self.default = default
        self.default_factory = default_factory
        self.compare = compare
        self.repr = repr
        self.metadata = metadata or {}


def field(*, default=MISSING, default_factory=MISSING, compare=True, repr=True, metadata=None):
    """Say more of a field than its type and default, in the place of the default."""
    return Field(default, default_factory, compare, repr, metadata)


def dataclass(cls=None, /, *, frozen=False, slots=False, order=False):
    """Make a class of annotated names one that is built from their values, shown with them and compared by them.

    Args:
        frozen: nothing can be set after ``__init__``; such objects can be keys.
        slots: the fields are all that an object has: half the memory, and misspelt names are errors.
        order: objects can be sorted, as tuples of their fields.
    """

    def decorate(cls):
        known = {name: _as_field(name, cls.__dict__.get(name, MISSING)) for name in cls.__annotations__}
        _refuse_what_is_lacking(cls, known)
        methods = {
            "__init__": _write_init,
            "__repr__": _show,
            "__eq__": _equals,
            "__hash__": None,
            "__reduce__": _reduce,
        }
        if frozen:
            methods |= {"__hash__": _hash, "__setattr__": _refuse, "__delattr__": _refuse}
        if order:
            methods |= _ORDER
        own = {name: value for name, value in cls.__dict__.items() if name not in (*_OF_EVERY_CLASS, *known)}
        if own.get("__hash__", ...) is None and "__eq__" in own and frozen:
            del own["__hash__"]  # Python put it there, as to any class that has an __eq__
        namespace = {
            **methods,
            **own,
            "__dataclass_fields__": known,
            "__match_args__": tuple(known),
            "__compared__": _reader(item.name for item in known.values() if item.compare),
        }
        if slots:
            namespace["__slots__"] = tuple(known)
        else:
            namespace |= {name: item.default for name, item in known.items() if item.default is not MISSING}
        made = type(cls)(cls.__name__, cls.__bases__, namespace)  # slots can only be given to a new class
        made.__qualname__ = cls.__qualname__
        return made

    return decorate if cls is None else decorate(cls)


def is_dataclass(value):
    """Whether it is one, or an object of one."""
    return hasattr(value, "__dataclass_fields__")


def fields(value):
    """The fields of a dataclass, or of an object of one, in their order."""
    return tuple(value.__dataclass_fields__.values())


def replace(value, /, **changes):
    """Another object like this one, but for *changes*."""
    return type(value)(**{name: getattr(value, name) for name in value.__dataclass_fields__} | changes)


def asdict(value):
    """The object as a dict of plain values, and so the objects in it, in lists, tuples and dicts too."""
    if is_dataclass(value):
        return {name: asdict(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, list | tuple):
        return type(value)(map(asdict, value))
    if isinstance(value, dict):
        return {key: asdict(item) for key, item in value.items()}
    return value


_OF_EVERY_CLASS = ("__dict__", "__weakref__")


def _as_field(name, default):
    made = default if isinstance(default, Field) else field(default=default)
    made.name = name
    return made


def _refuse_what_is_lacking(cls, known):
    """Raises: TypeError: the class asks for what only the standard library's dataclasses have, or not even they."""
    if any("__dataclass_fields__" in base.__dict__ for base in cls.__mro__[1:]):
        raise TypeError(f"{cls.__qualname__}: a dataclass inherits from no other one here")
    with_default = ""
    for name, item in known.items():
        if str(cls.__annotations__[name]).partition("[")[0].rpartition(".")[2] in ("ClassVar", "InitVar"):
            raise TypeError(f"{cls.__qualname__}.{name}: ClassVar and InitVar are not known here")
        if type(item.default).__hash__ is None:
            raise TypeError(f"{cls.__qualname__}.{name}: all objects would share that default: use default_factory")
        if item.default is not MISSING or item.default_factory is not MISSING:
            with_default = name
        elif with_default:
            raise TypeError(
                f"{cls.__qualname__}.{name}: a field without a default follows {with_default}, which has one"
            )


def _reader(names):
    """What reads these attributes as a tuple, in one call."""
    names = tuple(names)
    if len(names) > 1:
        return staticmethod(operator.attrgetter(*names))
    return staticmethod(lambda value: tuple(getattr(value, name) for name in names))


def _write_init(self, /, *args, **named):
    """The ``__init__`` of each class, until its first object is made: writes the class its own."""
    cls = next(cls for cls in type(self).__mro__ if "__dataclass_fields__" in cls.__dict__)
    words = {"MISSING": MISSING}
    parameters, lines = [], []
    for name, item in cls.__dataclass_fields__.items():
        value, default = name, ""
        if item.default is not MISSING:
            words[f"default_{name}"] = item.default
            default = f"=default_{name}"
        elif item.default_factory is not MISSING:
            words[f"new_{name}"] = item.default_factory
            default, value = "=MISSING", f"new_{name}() if {name} is MISSING else {name}"
        parameters.append(name + default)
        # Past a frozen object's own __setattr__; a slot's is two thirds of the price of object's.
        if "__slots__" in cls.__dict__:
            words[f"set_{name}"] = cls.__dict__[name].__set__
            lines.append(f"set_{name}(self, {value})")
        else:
            lines.append(f"self.__dict__[{name!r}] = {value}")
    if hasattr(cls, "__post_init__"):
        lines.append("self.__post_init__()")
    source = f"def __init__(self, {', '.join(parameters)}):\n " + ("\n ".join(lines) or "pass")
    exec(source, words)  # noqa: S102 - of names that are in this program's own text
    init = words["__init__"]
    init.__qualname__ = f"{cls.__qualname__}.__init__"
    cls.__init__ = init
    init(self, *args, **named)


def _show(self):
    shown = (item.name for item in fields(self) if item.repr)
    return f"{type(self).__qualname__}({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)})"


def _equals(self, other):
    if type(other) is not type(self):
        return NotImplemented
    return self.__compared__(self) == other.__compared__(other)


def _hash(self):
    return hash(self.__compared__(self))


def _reduce(self):
    """For copy and pickle, which would set the slots of a frozen object."""
    return type(self), tuple(getattr(self, name) for name in self.__dataclass_fields__)


def _refuse(self, name, *value):
    raise FrozenInstanceError(f"cannot {'assign to' if value else 'delete'} field {name!r}")


def _compares(relation):
    def compare(self, other):
        if type(other) is not type(self):
            return NotImplemented
        return relation(self.__compared__(self), other.__compared__(other))

    return compare


_ORDER = {f"__{name}__": _compares(getattr(operator, name)) for name in ("lt", "le", "gt", "ge")}

"""A place in a JSON document that knows its own address, so that every complaint can name it.

``process.args[0]: expected a string, got an integer`` is worth more than a stack trace. It knows JSON, and
nothing of containers. A field that is null counts as absent, as in every engine written in Go.
"""

from __future__ import annotations

from typing import Any, NoReturn

from mini_docker.errors import Invalid

_NAMES = {dict: "an object", list: "a list", str: "a string", bool: "true or false", int: "an integer",
          float: "a fraction", type(None): "null"}  # fmt: skip


class Node:
    """A value in a document.

    Attributes:
        value: as `json.loads` gives it.
        path: the way to it from the root, such as ``linux.devices[2].path``; empty at the root.
    """

    __slots__ = ("path", "value")

    def __init__(self, value: Any, path: str = "") -> None:
        self.value = value
        self.path = path

    def complain(self, what: str) -> NoReturn:
        """Say what is wrong with this value."""
        raise Invalid(f"{self.path or 'the document'}: {what}")

    def _expect(self, kind: type) -> Any:
        # To Python true is an integer, too; to JSON it is not.
        if not isinstance(self.value, kind) or (kind is int and isinstance(self.value, bool)):
            self.complain(f"expected {_NAMES[kind]}, got {_NAMES[type(self.value)]}")
        return self.value

    # single values
    def text(self) -> str:
        """A string without NUL, which no call of the kernel could take."""
        text: str = self._expect(str)
        if "\0" in text:
            self.complain("a NUL character")
        try:
            text.encode(errors="surrogateescape")
        except UnicodeEncodeError:
            self.complain("half of a surrogate pair, which is no character")
        return text

    def absolute(self) -> str:
        """A string that is an absolute path."""
        path = self.text()
        if not path.startswith("/"):
            self.complain(f"{path!r} is not an absolute path")
        return path

    def choice(self, *words: str) -> str:
        """One of some words."""
        word = self.text()
        if word not in words:
            self.complain(f"{word!r} is none of {', '.join(words)}")
        return word

    def integer(self, low: int = -(2**63), high: int = 2**63 - 1) -> int:
        """An integer within bounds, both included."""
        number: int = self._expect(int)
        if not low <= number <= high:
            self.complain(f"{number} is not between {low} and {high}")
        return number

    def boolean(self) -> bool:
        """True or false."""
        answer: bool = self._expect(bool)
        return answer

    # the way down
    def get(self, name: str) -> Node | None:
        """The field of an object, or None where it is absent or null."""
        value = self._expect(dict).get(name)
        return None if value is None else Node(value, f"{self.path}.{name}" if self.path else name)

    def need(self, name: str) -> Node:
        """The field of an object, which must be there."""
        return self.get(name) or self.complain(f"{name} is missing")

    def items(self, name: str) -> list[Node]:
        """The items of a list in the field *name*; none where it is absent."""
        node = self.get(name)
        if node is None:
            return []
        return [Node(value, f"{node.path}[{index}]") for index, value in enumerate(node._expect(list))]

    def fields(self, name: str) -> dict[str, Node]:
        """The fields of an object in the field *name*; none where it is absent."""
        node = self.get(name)
        if node is None:
            return {}
        return {key: Node(value, f"{node.path}.{key}") for key, value in node._expect(dict).items()}

    def texts(self, name: str) -> tuple[str, ...]:
        """The strings of a list in the field *name*."""
        return tuple(node.text() for node in self.items(name))

    def text_of(self, name: str, default: str = "") -> str:
        """The string in the field *name*."""
        node = self.get(name)
        return default if node is None else node.text()

    def integer_of(self, name: str, default: int = 0, low: int = -(2**63), high: int = 2**63 - 1) -> int:
        """The integer in the field *name*."""
        node = self.get(name)
        return default if node is None else node.integer(low, high)

    def boolean_of(self, name: str, default: bool = False) -> bool:
        """True or false in the field *name*."""
        node = self.get(name)
        return default if node is None else node.boolean()

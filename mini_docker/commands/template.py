"""A small Go template engine: what ``--format`` and ``inspect -f`` are written in.

It knows fields (``.A.B``), ``$`` and variables, strings and numbers, pipes, parentheses, ``if``,
``range``, ``with``, ``else``, ``end``, comments and trim marks, and functions by name. A
template is parsed once to a tree of nodes and rendered over plain JSON values.

Source: the package documentation of Go's text/template.
"""

from __future__ import annotations

from mini_docker.commands.template_functions import FUNCTIONS, show
from mini_docker.errors import Invalid

TYPE_CHECKING = False  # what typing.TYPE_CHECKING is, without its 3 ms
if TYPE_CHECKING:
    from typing import Any


class TemplateError(Invalid):
    """The template is not understood, or asks for what is not there."""


class Scope:
    """What a template sees at one place: the dot and the variables."""

    __slots__ = ("dot", "variables")

    def __init__(self, dot: Any, variables: dict[str, Any]) -> None:
        self.dot = dot
        self.variables = variables


class Template:
    """A parsed template.

    Args:
        text: the template.

    Raises:
        TemplateError: it is not understood.
    """

    def __init__(self, text: str) -> None:
        parts = _Parts(text)
        self._body, ended_by = _parse_body(parts)
        if ended_by:
            raise TemplateError(f"template: unexpected {{{{{ended_by[0]}}}}}")

    def render(self, value: Any) -> str:
        """The template filled in with *value* as the dot.

        Raises:
            TemplateError: it asks for a field that *value* lacks, or calls a function wrongly.
        """
        return _render(self._body, Scope(value, {"$": value}))


# -- text and actions -----------------------------------------------------------------------------


class _Parts:
    """The template cut at its braces: literal texts, and the tokens of each action."""

    def __init__(self, text: str) -> None:
        self._parts: list[str | list[str]] = []
        trim = False
        while text:
            literal, braces, text = text.partition("{{")
            if trim:
                literal = literal.lstrip()
            if text.startswith(("- ", "-\n")):
                literal, text = literal.rstrip(), text[1:]
            if literal:
                self._parts.append(literal)
            if not braces:
                break
            end = _action_end(text)
            action, text = text[:end], text[end + 2 :]
            trim = action.endswith((" -", "\n-"))
            action = action[:-1].strip() if trim else action.strip()
            if not action.startswith("/*"):
                self._parts.append(_tokens(action))
        self._parts.reverse()

    def next(self) -> str | list[str] | None:
        """The next literal (str) or action (list of tokens); None at the end."""
        return self._parts.pop() if self._parts else None


def _action_end(text: str) -> int:
    """Where in *text* the action ends: at the first ``}}`` outside of a string."""
    quote = ""
    position = 0
    while position < len(text):
        letter = text[position]
        if quote:
            if letter == "\\" and quote == '"':
                position += 1
            elif letter == quote:
                quote = ""
        elif letter in '"`':
            quote = letter
        elif text.startswith("}}", position):
            return position
        position += 1
    raise TemplateError("template: unclosed action")


def _tokens(action: str) -> list[str]:
    """The words of an action; a string keeps its opening quote as a mark, with its escapes resolved."""
    tokens: list[str] = []
    position = 0
    while position < len(action):
        letter = action[position]
        start = position
        if letter.isspace():
            position += 1
        elif letter == "`":
            position = action.index("`", start + 1) + 1
            tokens.append('"' + action[start + 1 : position - 1])
        elif letter == '"':
            position += 1
            while action[position] != '"':
                position += 2 if action[position] == "\\" else 1
            position += 1
            tokens.append('"' + _unquote(action[start:position]))
        elif action.startswith(":=", position):
            position += 2
            tokens.append(":=")
        elif letter in "()|,":
            position += 1
            tokens.append(letter)
        else:
            while position < len(action) and not (action[position].isspace() or action[position] in '()|,"`'):
                if action.startswith(":=", position):
                    break
                position += 1
            tokens.append(action[start:position])
    return tokens


def _unquote(literal: str) -> str:
    from mini_docker.http import quick_json

    try:
        return str(quick_json.loads(literal.encode()))
    except ValueError:
        raise TemplateError(f"template: bad string {literal}") from None


# -- the tree -------------------------------------------------------------------------------------


class _Action:
    """``{{pipeline}}`` or ``{{$name := pipeline}}``."""

    __slots__ = ("pipeline", "variable")

    def __init__(self, variable: str, pipeline: _Pipeline) -> None:
        self.variable = variable
        self.pipeline = pipeline

    def render(self, scope: Scope) -> str:
        value = self.pipeline.evaluate(scope)
        if self.variable:
            scope.variables[self.variable] = value
            return ""
        return show(value)


class _Branch:
    """``if``, ``with`` and ``range``, with their ``else``."""

    __slots__ = ("body", "otherwise", "pipeline", "variables", "word")

    def __init__(
        self, word: str, variables: list[str], pipeline: _Pipeline, body: list[Any], otherwise: list[Any]
    ) -> None:
        self.word = word
        self.variables = variables
        self.pipeline = pipeline
        self.body = body
        self.otherwise = otherwise

    def render(self, scope: Scope) -> str:
        value = self.pipeline.evaluate(scope)
        if not value:  # Go's "empty" and Python's are the same for JSON values
            return _render(self.otherwise, Scope(scope.dot, dict(scope.variables)))
        if self.word == "if":
            return _render(self.body, Scope(scope.dot, dict(scope.variables)))
        if self.word == "with":
            return self._with(scope, [value])
        pairs = sorted(value.items()) if isinstance(value, dict) else enumerate(self._list(value))
        return "".join(self._with(scope, [key, each]) for key, each in pairs)

    @staticmethod
    def _list(value: Any) -> list[Any]:
        if not isinstance(value, list):
            raise TemplateError(f"template: range can't iterate over {show(value)}")
        return value

    def _with(self, scope: Scope, values: list[Any]) -> str:
        """Render the body with the last of *values* as the dot, and the named variables set."""
        names = self.variables
        variables = scope.variables | dict(zip(names, values[-len(names) :] if names else [], strict=True))
        return _render(self.body, Scope(values[-1], variables))


def _render(body: list[Any], scope: Scope) -> str:
    return "".join(node if isinstance(node, str) else node.render(scope) for node in body)


def _parse_body(parts: _Parts) -> tuple[list[Any], list[str]]:
    """Nodes up to an ``end`` or ``else`` (returned as the second: its tokens) or the end of the text."""
    body: list[Any] = []
    while (part := parts.next()) is not None:
        if isinstance(part, str):
            body.append(part)
        elif not part:
            raise TemplateError("template: missing value for command")
        elif part[0] in ("end", "else"):
            return body, part
        elif part[0] in ("if", "with", "range"):
            body.append(_parse_branch(part, parts))
        else:
            variables, pipeline = _parse_assignment(part)
            body.append(_Action(variables[0] if variables else "", pipeline))
    return body, []


def _parse_branch(part: list[str], parts: _Parts) -> _Branch:
    variables, pipeline = _parse_assignment(part[1:])
    body, ended_by = _parse_body(parts)
    otherwise: list[Any] = []
    if ended_by[:1] == ["else"] and len(ended_by) > 1:
        # "else if …" is an if inside the else, which shares its end.
        otherwise, ended_by = [_parse_branch(ended_by[1:], parts)], ["end"]
    elif ended_by == ["else"]:
        otherwise, ended_by = _parse_body(parts)
    if ended_by != ["end"]:
        raise TemplateError(f"template: {part[0]} without its end")
    return _Branch(part[0], variables, pipeline, body, otherwise)


def _parse_assignment(tokens: list[str]) -> tuple[list[str], _Pipeline]:
    """``[$a[, $b] :=] pipeline``."""
    variables: list[str] = []
    if ":=" in tokens:
        middle = tokens.index(":=")
        variables, tokens = [word for word in tokens[:middle] if word != ","], tokens[middle + 1 :]
    rest = list(reversed(tokens))
    pipeline = _parse_pipeline(rest)
    if rest:
        raise TemplateError(f"template: unexpected {rest[-1]!r} in command")
    return variables, pipeline


class _Pipeline:
    """Commands joined by ``|``: each one's result is the last argument of the next."""

    __slots__ = ("commands",)

    def __init__(self, commands: list[list[Any]]) -> None:
        self.commands = commands

    def evaluate(self, scope: Scope) -> Any:
        value: list[Any] = []
        for words in self.commands:
            value = [self._call(words, value, scope)]
        return value[0]

    def _call(self, words: list[Any], piped: list[Any], scope: Scope) -> Any:
        first = words[0]
        if isinstance(first, str) and first in FUNCTIONS:
            arguments = [_operand(word, scope) for word in words[1:]] + piped
            try:
                return FUNCTIONS[first](*arguments)
            except (TypeError, ValueError, KeyError, IndexError) as error:
                raise TemplateError(f"template: error calling {first}: {error}") from None
        if len(words) > 1 or piped:
            raise TemplateError(f"template: can't give argument to non-function {first}")
        return _operand(first, scope)


def _parse_pipeline(rest: list[str]) -> _Pipeline:
    """Read a pipeline off the end of *rest* (tokens in reverse), up to its end or a ``)``."""
    commands: list[list[Any]] = [[]]
    while rest and rest[-1] != ")":
        word = rest.pop()
        if word == "|":
            commands.append([])
        elif word == "(":
            inner = _parse_pipeline(rest)
            if not rest:
                raise TemplateError("template: unclosed left paren")
            rest.pop()
            # "(index .A 0).B": a field of what the parentheses give.
            fields = rest.pop() if rest and rest[-1].startswith(".") and len(rest[-1]) > 1 else ""
            commands[-1].append((inner, fields))
        else:
            commands[-1].append(word)
    if not all(commands):
        raise TemplateError("template: missing value for command")
    return _Pipeline(commands)


# -- values ---------------------------------------------------------------------------------------

_WORDS = {"true": True, "false": False, "nil": None}


def _operand(word: Any, scope: Scope) -> Any:
    if isinstance(word, tuple):
        pipeline, fields = word
        return _fields(pipeline.evaluate(scope), fields)
    if word.startswith('"'):
        return word[1:]
    if word.startswith("."):
        return _fields(scope.dot, word)
    if word.startswith("$"):
        name, dot, path = word.partition(".")
        if name not in scope.variables:
            raise TemplateError(f'template: undefined variable "{name}"')
        return _fields(scope.variables[name], dot + path)
    if word in _WORDS:
        return _WORDS[word]
    for convert in (int, float):
        try:
            return convert(word)
        except ValueError:
            continue
    if word in FUNCTIONS:
        return FUNCTIONS[word]()
    raise TemplateError(f'template: function "{word}" not defined')


def _fields(value: Any, path: str) -> Any:
    """Follow ``.A.B`` into *value*."""
    for name in path.split(".")[1:] if path.strip(".") else ():
        if not isinstance(value, dict):
            raise TemplateError(f"template: can't evaluate field {name} in {show(value)}")
        if name not in value:
            raise TemplateError(f'template: executing "" at <{path}>: map has no entry for key "{name}"')
        value = value[name]
    return value

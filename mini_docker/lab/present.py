"""What a learner reads: results in words, an example as a tree, a system call's error explained.

Pure: values in, lines out. Each failure says whose it is: your code, the environment, or the time.
"""

from __future__ import annotations

import ast
import errno
import os
import re
from collections.abc import Iterable, Iterator

from mini_docker.lab.lab import Lab
from mini_docker.lab.verdict import CheckResult, Failure, LabResult, Verdict

HEADS = {
    Verdict.PASS: "pass",
    Verdict.FAIL: "YOUR CODE",
    Verdict.ENVIRONMENT: "ENVIRONMENT",
    Verdict.SKIPPED: "skipped",
    Verdict.TIMEOUT: "TIMEOUT",
}
SHOWN_FAILURES = 3
_SHOWN_LINES = 12

ERRNO_SENTENCES = {
    "EPERM": "the kernel knows the call and will not do it for you: a capability is missing",
    "EINVAL": "the kernel understood the call but not this combination of arguments: look at the flags first",
    "ENOENT": "a path in the call leads nowhere: was it made before?",
    "EEXIST": "what the call should make is there already: made twice, or not removed?",
    "EBUSY": "something still uses it: a mount, an open file, a process inside",
    "ENODEV": "no such device or file system here: is the name right, and did it exist before this call?",
    "ENETUNREACH": "no route leads there: is the interface up, and is the gateway its neighbour?",
    "EADDRNOTAVAIL": "that address is not on this interface",
    "EBADF": "the descriptor is closed, or never was one: who closed it?",
    "ENOTDIR": "a part of the path is no directory",
    "EXDEV": "from one mount to another: rename and link do not cross mounts",
    "ESTALE": "the overlay's upper directory was used with other lower ones",
    "ENOSPC": "no room: on the disk, or in a limit such as max_user_namespaces",
}
"""What an errno mostly means in these labs; `mini_docker.linux.errors` knows more for single calls."""


def check_lines(result: CheckResult) -> Iterator[str]:
    """A check's result."""
    head = HEADS[result.verdict]
    count = f"{result.passed} passed" + (f", {len(result.failures)} failed" if result.failures else "")
    yield f"[{head}] {result.name} ({result.kind}, {count}, {result.seconds:.1f} s)"
    if result.reason:
        yield from (f"    {line}" for line in result.reason.splitlines())
    for failure in result.failures[:SHOWN_FAILURES]:
        yield ""
        yield from (f"    {line}" if line else "" for line in failure_lines(failure))
    if len(result.failures) > SHOWN_FAILURES:
        yield ""
        more = [_short(failure) for failure in result.failures[SHOWN_FAILURES:]]
        yield f"    and {len(more)} more: {', '.join(more)}"


def failure_lines(failure: Failure) -> Iterator[str]:
    """One failure: the law first, then what broke it."""
    yield f"law:    {failure.law or _short(failure)}"
    yield f"test:   {failure.test}"
    if failure.frames:
        frame = failure.frames[-1]
        where = f"{os.path.relpath(frame.path)}:{frame.line} in {frame.function}"
        yield f"yours:  {where}: {frame.code.partition(chr(10))[0]}"
    first, *rest = failure.compared or (failure.error,)
    yield f"found:  {first}"
    shown = [line for line in rest if line.strip() and not line.startswith(("Falsifying", "Explanation"))]
    yield from (f"        {line}" for line in shown[:_SHOWN_LINES])
    explained = explain_errno(failure.error)
    if explained:
        yield f"errno:  {explained}"
    if failure.example:
        yield "smallest example that shows it:"
        yield from (f"  {line}" for line in example_lines(failure.example))


def explain_errno(error: str) -> str:
    """The sentence for the first errno's name in *error*; empty when there is none."""
    for name in re.findall(r"\bE[A-Z0-9]{3,}\b", error):
        if name in ERRNO_SENTENCES and hasattr(errno, name):
            return f"{name}, {os.strerror(getattr(errno, name)).lower()}: {ERRNO_SENTENCES[name]}"
    return ""


def example_lines(note: str) -> Iterator[str]:
    """Hypothesis' smallest example, as a tree.

    Arguments become branches, nested values branches of these; a state machine's steps become a numbered list.
    """
    code = "\n".join(line for line in note.splitlines() if not line.endswith(":") and not line.startswith("Falsifying"))
    head = re.search(r"Falsifying example: (.*)", note, re.DOTALL)
    if head:
        code = head.group(1).split("\nExplanation")[0]
    try:
        tree = ast.parse(_dedent(code))
    except SyntaxError:
        yield from note.splitlines()
        return
    steps = [statement for statement in tree.body if isinstance(statement, ast.Expr | ast.Assign)]
    if len(steps) == 1 and isinstance(steps[0], ast.Expr) and isinstance(steps[0].value, ast.Call):
        yield from _call_tree(steps[0].value)
        return
    for number, step in enumerate(steps, 1):
        yield f"{number:>2}. {ast.unparse(step)}"


def _call_tree(call: ast.Call) -> Iterator[str]:
    yield ast.unparse(call.func)
    named = [(keyword.arg or "**", keyword.value) for keyword in call.keywords if keyword.arg != "self"]
    yield from _branches([*((f"[{n}]", value) for n, value in enumerate(call.args)), *named])


def _branches(items: Iterable[tuple[str, ast.expr]]) -> Iterator[str]:
    listed = list(items)
    for number, (name, value) in enumerate(listed):
        last = number == len(listed) - 1
        text = ast.unparse(value)
        children = _children(value) if len(text) > 60 else []
        yield f"{'└─' if last else '├─'} {name} = {_outline(value) if children else text}"
        yield from (("   " if last else "│  ") + line for line in _branches(children))


def _children(value: ast.expr) -> list[tuple[str, ast.expr]]:
    if isinstance(value, ast.List | ast.Tuple | ast.Set):
        return [(f"[{number}]", item) for number, item in enumerate(value.elts)]
    if isinstance(value, ast.Dict):
        return [(ast.unparse(key) if key else "**", item) for key, item in zip(value.keys, value.values, strict=True)]
    if isinstance(value, ast.Call):
        named = [(keyword.arg or "**", keyword.value) for keyword in value.keywords]
        return [*((f"[{n}]", item) for n, item in enumerate(value.args)), *named]
    return []


def _outline(value: ast.expr) -> str:
    return f"{ast.unparse(value.func)}(…)" if isinstance(value, ast.Call) else type(value).__name__.lower()


def _dedent(code: str) -> str:
    return "\n".join(line.rstrip() for line in code.strip().splitlines() if not line.strip().startswith("#"))


def summary_lines(lab: Lab, result: LabResult) -> Iterator[str]:
    """What it comes to, and what to do next."""
    number = lab.name[:2]
    if result.broken:
        yield f"[{HEADS[Verdict.FAIL]}] your file is no Python yet: {result.broken}"
    for name in result.unwritten:
        yield f"[{HEADS[Verdict.FAIL]}] not written yet: {name.partition(':')[2]}"
    for name in result.idle:
        yield f"[{HEADS[Verdict.FAIL]}] never ran in any check: {name.partition(':')[2]}"
    verdict = result.verdict
    if verdict is Verdict.PASS:
        yield f"{lab.title}: passed. Read on: mini-docker lab explain {number}; compare: mini-docker lab diff {number}"
    elif verdict is Verdict.FAIL:
        yield f"{lab.title}: not yet. A nudge: mini-docker lab hint {number}"
    elif verdict is Verdict.ENVIRONMENT:
        yield f"{lab.title}: this machine cannot tell. What is missing: mini-docker lab doctor"
    elif verdict is Verdict.TIMEOUT:
        yield f"{lab.title}: the time ran out: a loop that does not end, a lock or a wait that nobody ends?"
    else:
        yield f"{lab.title}: nothing failed, and not all was tried."


def _short(failure: Failure) -> str:
    return failure.test.rpartition("::")[2]

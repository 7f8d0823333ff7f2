"""What a learner reads: results in words, an example as a tree, a system call's error explained.

Pure: values in, lines out. Each failure says whose it is: your code, the environment, or the time.
"""

from __future__ import annotations

import ast
import errno
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice, takewhile

from mini_docker.lab.lab import Lab
from mini_docker.lab.merge import NOT_WRITTEN
from mini_docker.lab.verdict import CheckResult, Failure, LabResult, Verdict

HEADS = {
    Verdict.PASS: "pass",
    Verdict.FAIL: "YOUR CODE",
    Verdict.ENVIRONMENT: "ENVIRONMENT",
    Verdict.SKIPPED: "skipped",
    Verdict.TIMEOUT: "TIMEOUT",
}
SHOWN_FAILURES = 3
EXAMPLE_HEADS = ("Falsifying example: ", "Failing test case: ")  # of hypothesis, older and newer
_SHOWN_LINES = 12
_DRAW = re.compile(r"Draw \d+(?: \([^)]*\))?: (.*)")

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
    waiting = Counter(_unwritten(failure) for failure in result.failures)
    for name, laws in waiting.items():
        if name:
            yield f"    {laws} law{'s wait' if laws > 1 else ' waits'} for {name}, which is not written yet"
    failures = [failure for failure in result.failures if not _unwritten(failure)]
    for failure in failures[:SHOWN_FAILURES]:
        yield ""
        yield from (f"    {line}" if line else "" for line in failure_lines(failure))
    if len(failures) > SHOWN_FAILURES:
        yield ""
        more = [_short(failure) for failure in failures[SHOWN_FAILURES:]]
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
    shown = takewhile(lambda line: not line.startswith(EXAMPLE_HEADS), (line for line in rest if line.strip()))
    yield from (f"        {line}" for line in islice(shown, _SHOWN_LINES))
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

    A test's arguments become branches, nested values branches of these; a state machine's steps become a numbered list,
    with what was drawn for each step as its branches.
    """
    lines = note.splitlines()
    start = next((number for number, line in enumerate(lines) if line.startswith(EXAMPLE_HEADS)), -1)
    # The head's own line has the call, or stands for a machine's, whose steps follow.
    head = lines[start].partition(": ")[2] if start >= 0 else ""
    body = takewhile(lambda line: line.strip() and not line.startswith("Explanation"), lines[start + 1 :])
    code: list[str] = []
    draws: dict[int, list[str]] = {}
    for line in (head, *body):
        drawn = _DRAW.match(line)
        if drawn:
            draws.setdefault(len(code) + 1, []).append(drawn[1].partition("  # ")[0])
        elif not line.startswith(("<", "#")):
            code.append(line)
    try:
        tree = ast.parse("\n".join(code))
    except SyntaxError:
        yield from lines[max(start, 0) :]
        return
    steps = [step for step in tree.body if not _is_bookkeeping(step)]
    if len(steps) == 1 and isinstance(steps[0], ast.Expr) and isinstance(steps[0].value, ast.Call) and not draws:
        yield from _call_tree(steps[0].value)
        return
    for number, step in enumerate(steps, 1):
        yield f"{number:>2}. {ast.unparse(step).removeprefix('state.')}"
        yield from (f"    └─ drew {drawn}" for drawn in draws.get(step.lineno, []))
    yield from (f"    └─ drew {drawn}" for line, listed in draws.items() if line > len(code) for drawn in listed)


def _is_bookkeeping(step: ast.stmt) -> bool:
    """``state = Machine()`` and ``state.teardown()`` begin and end every story, and tell nothing."""
    text = ast.unparse(step)
    return text == "state.teardown()" or (text.startswith("state = ") and text.endswith("()"))


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


def _unwritten(failure: Failure) -> str:
    """The function that the failure waits for; empty when it is about something else."""
    _, found, name = failure.error.partition(f"NotImplementedError: {NOT_WRITTEN}")
    return name.split()[0] if found else ""


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
    """The test's own name; a state machine's only method is called as all are, so its class's."""
    return failure.test.removesuffix("::runTest").rpartition("::")[2]

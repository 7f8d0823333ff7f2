"""The compiler: a resolved profile → the BPF program that the kernel runs at every system call.

Its output is a game of twenty questions. A list of tests, one for each call, would ask up to 400;
a binary tree over *ranges* of call numbers asks about eight, and the kernel, which tries out every
number once when a filter is loaded (to remember the calls that are always allowed), is done in a
tenth of the time. It knows nothing of JSON, names or capabilities, and loads nothing.

The program::

    which architecture?  ── foreign ──▶ kill the process
        │
    number < 157? ─ < 80? ─ … ─▶ allow | deny | compare the arguments, 32 bits at a time

BPF only jumps forward, and a conditional jump at most 255 instructions far. So the program is
written from its end to its beginning: whatever is jumped to stands already, and its distance is known.

Source: seccomp(2), linux/filter.h, linux/seccomp.h, linux/audit.h.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Mapping, Sequence
from typing import Any

from mini_docker.errors import Invalid
from mini_docker.libcontainer.seccomp.profile import Comparison, Operator, parse_profile
from mini_docker.libcontainer.seccomp.resolver import (
    RET_ERRNO,
    RET_KILL_PROCESS,
    X32_SYSCALL_BIT,
    ArchitectureFilter,
    Clause,
    resolve,
)

# linux/bpf_common.h: class | size | mode, class | operation | source
_LOAD_WORD = 0x20  # BPF_LD | BPF_W | BPF_ABS
_AND = 0x54  # BPF_ALU | BPF_AND | BPF_K
_JUMP = 0x05  # BPF_JMP | BPF_JA
_JEQ = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_JGT = 0x25  # BPF_JMP | BPF_JGT | BPF_K
_JGE = 0x35  # BPF_JMP | BPF_JGE | BPF_K
_RETURN = 0x06  # BPF_RET | BPF_K
_MAX_INSTRUCTIONS = 4096  # BPF_MAXINSNS
_MAX_JUMP = 255

# struct seccomp_data: int nr; u32 arch; u64 instruction_pointer; u64 args[6]. Both machines are little-endian.
_NR, _ARCH, _ARGS = 0, 4, 16

_AUDIT_ARCH = {"x86_64": 0xC000003E, "x86": 0x40000003, "aarch64": 0xC00000B7, "arm": 0x40000028}

Decision = int | tuple[Clause, ...]
"""What is known once the number is: a verdict, or clauses on the arguments (the last one without comparisons)."""


def compile_profile(
    profile: Mapping[str, Any], capabilities: tuple[str, ...], architecture: str, kernel: tuple[int, int]
) -> bytes:
    """Compile a profile in Docker's or the OCI's JSON form. Pure; takes milliseconds, so keep the result.

    Args:
        capabilities: ``CAP_…`` names of the container (its bounding set).
        architecture: of the machine: ``x86_64`` or ``aarch64``.
        kernel: its version, (major, minor).

    Returns:
        an array of ``struct sock_filter``, for `Kernel.seccomp`.

    Raises:
        Invalid: the profile is malformed, or too large for the kernel.
        Unsupported: another machine, or an action that needs a listener.
    """
    return compile_filters(resolve(parse_profile(profile), capabilities, architecture, kernel))


def compile_filters(filters: Sequence[ArchitectureFilter]) -> bytes:
    """Compile resolved filters, one for each architecture; calls by any other architecture kill the process.

    Raises:
        Invalid: more than 4096 instructions.
    """
    program = _BackwardAssembler()
    entry = program.ret(RET_KILL_PROCESS)
    for each in reversed(filters):
        tree = program.load(_NR, program.tree(_ranges(each)))
        entry = program.branch(_JEQ, _AUDIT_ARCH[each.architecture], tree, entry)
    program.load(_ARCH, entry)
    return program.assemble()


def _ranges(each: ArchitectureFilter) -> list[tuple[int, Decision]]:
    """Cut the numbers from 0 to 2^32 into ranges of one decision each, as (first number, decision)."""
    decisions: dict[int, Decision] = {0: each.default}
    for number in sorted(each.clauses):
        decisions[number] = _decision(each.clauses[number], each.default)
        if number + 1 not in each.clauses:
            decisions[number + 1] = each.default if number + 1 < each.horizon else each.beyond
    if each.architecture == "x86_64":
        # An x32 call is the x86_64 call by another number: a kernel without x32 answers ENOSYS, so do we.
        decisions[X32_SYSCALL_BIT] = RET_ERRNO | errno.ENOSYS
    ranges: list[tuple[int, Decision]] = []
    for number, decision in sorted(decisions.items(), key=lambda item: item[0]):
        if not ranges or ranges[-1][1] != decision:
            ranges.append((number, decision))
    return ranges


def _decision(clauses: tuple[Clause, ...], default: int) -> Decision:
    """Leave out what can never be reached, and say the default at the end if it can be."""
    kept: list[Clause] = []
    for clause in clauses:
        kept.append(clause)
        if not clause.comparisons:
            break
    else:
        kept.append(Clause((), default))
    return kept[0].verdict if len(kept) == 1 else tuple(kept)


class _BackwardAssembler:
    """Writes a program from its end to its beginning.

    A *label* is an instruction's position counted from the end; labels stay true while more is written before them.
    """

    def __init__(self) -> None:
        self._code: list[tuple[int, int, int, int]] = []  # operation, jump if true, jump if false, operand
        self._returns: dict[int, int] = {}

    def _emit(self, operation: int, operand: int, yes: int = 0, no: int = 0) -> int:
        self._code.append((operation, yes, no, operand))
        return len(self._code) - 1

    def _distance(self, label: int) -> int:
        """How far the next instruction to be written would have to jump to *label*."""
        return len(self._code) - label - 1

    def _near(self, label: int) -> int:
        """A label of the same meaning, near enough for a jump from the next instruction or the one after it."""
        if self._distance(label) < _MAX_JUMP:
            return label
        operation, _, _, operand = self._code[label]
        if operation == _RETURN:
            return self._emit(_RETURN, operand)
        return self._emit(_JUMP, self._distance(label))

    def ret(self, verdict: int) -> int:
        """End with *verdict*; a return that stands nearby is used again."""
        label = self._returns.get(verdict)
        if label is None or self._distance(label) >= _MAX_JUMP:
            label = self._returns[verdict] = self._emit(_RETURN, verdict)
        return label

    def branch(self, operation: int, operand: int, yes: int, no: int) -> int:
        """Compare the accumulator, then go on at *yes* or *no*."""
        yes = self._near(yes)
        no = self._near(no)
        return self._emit(operation, operand, self._distance(yes), self._distance(no))

    def load(self, offset: int, then: int, mask: int = 0xFFFFFFFF) -> int:
        """Load a word of seccomp_data into the accumulator, mask it, and go on at *then*."""
        if self._distance(then):
            self._emit(_JUMP, self._distance(then))
        if mask != 0xFFFFFFFF:
            self._emit(_AND, mask)
        return self._emit(_LOAD_WORD, offset)

    def tree(self, ranges: Sequence[tuple[int, Decision]]) -> int:
        """The questions that find the range of the number in the accumulator."""
        if len(ranges) == 1:
            decision = ranges[0][1]
            return self.ret(decision) if isinstance(decision, int) else self.clauses(decision)
        middle = len(ranges) // 2
        high = self.tree(ranges[middle:])
        low = self.tree(ranges[:middle])
        return self.branch(_JGE, ranges[middle][0], high, low)

    def clauses(self, clauses: Sequence[Clause]) -> int:
        """The first clause that holds; the last one always does."""
        entry = self.ret(clauses[-1].verdict)
        for clause in reversed(clauses[:-1]):
            fails = entry
            entry = self.ret(clause.verdict)
            for comparison in reversed(clause.comparisons):
                entry = self.comparison(comparison, entry, fails)
        return entry

    def comparison(self, comparison: Comparison, holds: int, fails: int) -> int:
        """Compare a 64-bit argument, the upper half first: the accumulator has 32 bits."""
        match comparison.operator:
            case Operator.NE:
                return self._equal(comparison.index, comparison.value, fails, holds)
            case Operator.EQ:
                return self._equal(comparison.index, comparison.value, holds, fails)
            case Operator.MASKED_EQ:
                return self._equal(comparison.index, comparison.value_two, holds, fails, comparison.value)
            case Operator.GE:
                return self._greater(_JGE, comparison.index, comparison.value, holds, fails)
            case Operator.GT:
                return self._greater(_JGT, comparison.index, comparison.value, holds, fails)
            case Operator.LT:
                return self._greater(_JGE, comparison.index, comparison.value, fails, holds)
            case Operator.LE:
                return self._greater(_JGT, comparison.index, comparison.value, fails, holds)

    def _equal(self, index: int, value: int, holds: int, fails: int, mask: int = 2**64 - 1) -> int:
        entry = holds
        for half in (0, 1):  # written backwards: the lower word is asked last
            shift = 32 * half
            word, word_mask = value >> shift & 0xFFFFFFFF, mask >> shift & 0xFFFFFFFF
            if word_mask or word:  # a word that is masked away whole needs no question
                test = self.branch(_JEQ, word, entry, fails)
                entry = self.load(_ARGS + 8 * index + 4 * half, test, word_mask)
        return entry

    def _greater(self, operation: int, index: int, value: int, holds: int, fails: int) -> int:
        low, high = value & 0xFFFFFFFF, value >> 32
        entry = self.load(_ARGS + 8 * index, self.branch(operation, low, holds, fails))
        entry = self.branch(_JEQ, high, entry, fails)
        entry = self.branch(_JGT, high, holds, entry)
        return self.load(_ARGS + 8 * index + 4, entry)

    def assemble(self) -> bytes:
        """The program in its true order, as an array of struct sock_filter.

        Raises:
            Invalid: it is longer than the kernel takes.
        """
        if len(self._code) > _MAX_INSTRUCTIONS:
            raise Invalid(
                f"the seccomp profile needs {len(self._code)} BPF instructions, and the kernel takes"
                f" {_MAX_INSTRUCTIONS}: use fewer rules on arguments"
            )
        return b"".join(struct.pack("<HBBI", *instruction) for instruction in reversed(self._code))

"""The classroom's door: ``mini-docker lab COMMAND``.

Each command is one small function; what they print is made in `present.py`. Exit codes: 0 pass, 1 your code fails,
2 the environment cannot do it, 3 skipped, 124 out of time.
"""

from __future__ import annotations

import argparse
import difflib
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

from mini_docker.errors import MiniDockerError
from mini_docker.lab import lab as sheets
from mini_docker.lab import progress
from mini_docker.lab.grade import VM_VARIABLE, Grader
from mini_docker.lab.lab import LIVE, PURE, Lab
from mini_docker.lab.present import check_lines, summary_lines
from mini_docker.lab.starter import function_texts
from mini_docker.lab.verdict import CheckResult, LabResult, Verdict
from mini_docker.lab.workspace import Workspace, default_folder

POLL_SECONDS = 0.3


class Room:
    """What a command has in its hands: the labs, the learner's desk, and the words of its line."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.checkout = sheets.checkout()
        self.labs = sheets.all_labs(self.checkout)
        self.desk = Workspace(Path(options.workspace) if options.workspace else default_folder(), self.checkout)

    @property
    def lab(self) -> Lab:
        """The lab that the line names."""
        return sheets.find(self.labs, self.options.lab)

    @property
    def live_allowed(self) -> bool:
        """Whether live checks may run here."""
        return getattr(self.options, "live", False) or bool(os.environ.get(VM_VARIABLE))


def main(argv: list[str]) -> int:
    """Run one command line; the exit code."""
    options = _parser().parse_args(argv)
    try:
        command: Callable[[Room], int] = options.command
        return command(Room(options))
    except MiniDockerError as error:
        print(f"mini-docker lab: {error}", file=sys.stderr)
        return Verdict.ENVIRONMENT.value
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has gone (`… | head`): leave as quietly as SIGPIPE would.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 141


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="mini-docker lab", description="Rebuild mini_docker, piece by piece.")
    parser.add_argument("--workspace", help="your desk (default: $MINI_DOCKER_WORKSPACE or ~/mini-docker-labs)")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[Room], int], help: str, lab: bool = True) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=help, description=help)
        added.set_defaults(command=run)
        if lab:
            added.add_argument("lab", help="its number or its name")
        return added

    command("doctor", doctor, "say what this machine can do for the labs", lab=False)
    command("list", list_labs, "list the labs and where you stand", lab=False)
    command("start", start, "lay a lab's starter on your desk")
    for name, run, help in (
        ("check", check, "grade your code"),
        ("watch", watch, "grade again at every change of your files, until it passes"),
    ):
        grading = command(name, run, help)
        which = grading.add_mutually_exclusive_group()
        which.add_argument("--pure", action="store_true", help="only the checks that need no root")
        which.add_argument("--live", action="store_true", help="allow live checks as root on this very machine")
        grading.add_argument("--json", action="store_true", help="the result as JSON")
    hint = command("hint", show_hint, "show the next hint, from a nudge to nearly the answer")
    hint.add_argument("function", nargs="?", help="for this function (default: the first that is not written yet)")
    explain = command("explain", explain_lab, "after passing: why it is so, and a quiz")
    explain.add_argument("--answers", action="store_true", help="the quiz's answers as well")
    command("diff", diff, "compare your functions with ours")
    command("reset", reset, "put your files aside (in backups/) and begin anew")
    command("solve", solve, "show our solution")
    command("skip", skip, "leave a lab out for now")
    report = command("report", show_report, "say what you have done so far", lab=False)
    report.add_argument("--merge", metavar="FILE", help="first take over another machine's progress.jsonl")
    report.add_argument("--json", action="store_true", help="as JSON")
    command("clean", clean, "remove what killed checks left; never your files", lab=False)
    dev = commands.add_parser("dev", help="for those who write labs").add_subparsers(required=True)
    examination = dev.add_parser("check", help="is every lab fair and sharp?")
    examination.add_argument("only", nargs="*", help="these labs alone")
    examination.add_argument("--live", action="store_true", help="live checks too, as root on this very machine")
    examination.set_defaults(command=dev_check)
    return parser


def doctor(room: Room) -> int:
    """What this machine can do for the labs."""
    in_vm = bool(os.environ.get(VM_VARIABLE))
    facts = {
        "Python 3.11 or newer": sys.version_info >= (3, 11),
        "pytest, pytest-timeout and hypothesis (script/setup --dev)": all(
            find_spec(name) for name in ("pytest", "pytest_timeout", "hypothesis")
        ),
        "Linux": sys.platform == "linux",
    }
    live = {
        "root": os.geteuid() == 0,
        "unshare and ip (util-linux, iproute2)": bool(shutil.which("unshare") and shutil.which("ip")),
        "busybox-static": Path("/bin/busybox").exists(),
        "the overlay file system": "overlay" in Path("/proc/filesystems").read_text() if facts["Linux"] else False,
    }
    print(f"checkout   {room.checkout}\nyour desk  {room.desk.folder}\n\nFor every lab:")
    for name, good in facts.items():
        print(f"  {'yes' if good else 'NO ':4}{name}")
    print("For live checks:")
    for name, good in live.items():
        print(f"  {'yes' if good else 'no ':4}{name}")
    where = "this is our virtual machine" if in_vm else "not our virtual machine: they wait for --live"
    print(f"  {'yes' if in_vm else 'no ':4}{where}")
    return 0 if all(facts.values()) else Verdict.ENVIRONMENT.value


def list_labs(room: Room) -> int:
    """The labs and where the learner stands."""
    for lab in room.labs:
        standing = room.desk.progress.standing(lab.name, _kinds(lab))
        needs = ", ".join(lab.needs) or "nothing"
        print(f"{lab.name[:2]}  {lab.title:<48} {lab.minutes:>3} min  {standing.word:<15} needs {needs}")
    return 0


def start(room: Room) -> int:
    """Lay the starter out."""
    lab = room.lab
    new = room.desk.start(lab)
    room.desk.progress.note(lab.name, progress.STARTED)
    for path in room.desk.files(lab):
        print(f"{'new  ' if path in new else 'yours'}  {path}")
    print(f"Read {lab.readme}\nThen write: {', '.join(name.partition(':')[2] for name in lab.functions())}")
    print(f"And ask: mini-docker lab check {lab.name[:2]}")
    return 0


def check(room: Room) -> int:
    """Grade once."""
    result = _grade(room, room.lab)
    if room.options.json:
        print(json.dumps(result.to_json(), indent=2, ensure_ascii=False))
    return result.verdict.value


def watch(room: Room) -> int:
    """Grade at every change of content; an editor that only touches a file starts nothing."""
    lab = room.lab
    seen: list[bytes] = []
    while True:
        now = [path.read_bytes() for path in room.desk.files(lab)]
        if now != seen:
            seen = now
            result = _grade(room, lab)
            if room.options.json:
                print(json.dumps(result.to_json(), ensure_ascii=False), flush=True)
            if result.verdict is not Verdict.FAIL and result.verdict is not Verdict.TIMEOUT:
                return int(result.verdict.value)
            print("-- waiting for a change", flush=True)
        time.sleep(POLL_SECONDS)


def _grade(room: Room, lab: Lab) -> LabResult:
    kinds = (PURE,) if room.options.pure else (PURE, LIVE)
    room.desk.files(lab)
    quiet: bool = room.options.json
    grader = Grader(room.checkout, room.live_allowed)
    result = grader.grade(lab, room.desk.layer(lab), kinds, None if quiet else _tell)
    if not quiet:
        print("\n".join(summary_lines(lab, result)), flush=True)
    _note(room, lab, result)
    room.desk.give_to_owner()
    return result


def _tell(result: CheckResult) -> None:
    print("\n".join(check_lines(result)), flush=True)


def _note(room: Room, lab: Lab, result: LabResult) -> None:
    if result.verdict is Verdict.FAIL:
        room.desk.progress.note(lab.name, progress.FAILED)
        return
    for kind in sorted({check.kind for check in result.checks}):
        if all(check.verdict is Verdict.PASS for check in result.checks if check.kind == kind):
            room.desk.progress.note(lab.name, progress.PASSED, kind)


def show_hint(room: Room) -> int:
    """The next tier of a function's hints."""
    lab = room.lab
    names = [hint.function for hint in lab.hints]
    wanted = room.options.function or _first_unwritten(room, lab) or names[0]
    for hint in lab.hints:
        if hint.function == wanted or hint.function.endswith(f".{wanted}"):
            seen = sum(
                event.what == progress.HINT and event.lab == lab.name and event.detail.startswith(f"{hint.function} ")
                for event in room.desk.progress.events()
            )
            tier = min(seen, len(hint.tiers) - 1)
            if seen < len(hint.tiers):
                room.desk.progress.note(lab.name, progress.HINT, f"{hint.function} {tier + 1}")
            print(f"{hint.function}, hint {tier + 1} of {len(hint.tiers)}:\n{hint.tiers[tier]}")
            return 0
    print(f"no hints for {wanted!r}: one of {', '.join(names)}", file=sys.stderr)
    return Verdict.ENVIRONMENT.value


def _first_unwritten(room: Room, lab: Lab) -> str:
    result = Grader(room.checkout).grade(lab, room.desk.layer(lab), ())
    return result.unwritten[0].partition(":")[2] if result.unwritten else ""


def explain_lab(room: Room) -> int:
    """After passing: the explanation and the quiz."""
    lab = room.lab
    standing = room.desk.progress.standing(lab.name, _kinds(lab))
    if not standing.word.startswith("passed"):
        print(f"first pass it: mini-docker lab check {lab.name[:2]}", file=sys.stderr)
        return Verdict.FAIL.value
    print(lab.explanation.read_text(encoding="utf-8"))
    for number, question in enumerate(lab.quiz, 1):
        print(f"{number}. {question.ask}")
        for letter, choice in zip("abcdef", question.choices, strict=False):
            print(f"   {letter}) {choice}")
        if room.options.answers:
            print(f"   → {'abcdef'[question.answer]}) {question.because}")
    if not room.options.answers:
        print(f"\nThe answers: mini-docker lab explain --answers {lab.name[:2]}")
    return 0


def diff(room: Room) -> int:
    """The learner's functions against ours."""
    lab = room.lab
    room.desk.files(lab)
    for blank in lab.blanks:
        mine = function_texts(room.desk.file(lab, blank).read_text(encoding="utf-8"), blank.functions)
        ours = function_texts(room.desk.reference(blank), blank.functions)
        for name in blank.functions:
            lines = difflib.unified_diff(
                mine.get(name, "").splitlines(),
                ours[name].splitlines(),
                f"yours  {name}",
                f"ours   {name}",
                lineterm="",
            )
            print("\n".join(lines) or f"{name}: the same", end="\n\n")
    room.desk.progress.note(lab.name, progress.SOLVED)
    return 0


def reset(room: Room) -> int:
    """Begin anew, with a backup."""
    print(f"your files are in {room.desk.reset(room.lab)}; fresh starters lie in {room.desk.layer(room.lab)}")
    return 0


def solve(room: Room) -> int:
    """Print our solution; the learner's files stay as they are."""
    lab = room.lab
    for blank in lab.blanks:
        print(f"# {blank.file}\n")
        for text in function_texts(room.desk.reference(blank), blank.functions).values():
            print(text)
    room.desk.progress.note(lab.name, progress.SOLVED)
    room.desk.give_to_owner()
    return 0


def skip(room: Room) -> int:
    """Note that the lab is left out; every other lab works without it."""
    room.desk.progress.note(room.lab.name, progress.SKIPPED)
    room.desk.give_to_owner()
    print(f"{room.lab.title}: left out for now; our code stands in for yours")
    return 0


def show_report(room: Room) -> int:
    """What was done so far, on all machines whose diaries were merged."""
    if room.options.merge:
        print(f"{room.desk.progress.merge_from(Path(room.options.merge))} new lines", file=sys.stderr)
    standings = {lab: room.desk.progress.standing(lab.name, _kinds(lab)) for lab in room.labs}
    if room.options.json:
        rows = {
            lab.name: {"standing": s.word, "failed_checks": s.tries, "hints": s.hints, "saw_solution": s.solved}
            for lab, s in standings.items()
        }
        print(json.dumps(rows, indent=2))
        return 0
    for lab, standing in standings.items():
        notes = [
            f"{standing.tries} failed checks",
            f"{standing.hints} hints",
            *(["saw our solution"] * standing.solved),
        ]
        print(f"{lab.name[:2]}  {lab.title:<48} {standing.word:<15} {', '.join(notes)}")
    mine = [lab for lab, standing in standings.items() if standing.word == "passed"]
    layers = os.pathsep.join(str(room.desk.layer(lab)) for lab in mine if room.desk.layer(lab).is_dir())
    if layers:
        print(f"\nA Docker with your pieces in it:\n  MINI_DOCKER_OVERLAY={layers} mini-docker daemon")
    return 0


def clean(room: Room) -> int:
    """Remove leftovers; never a learner's file."""
    for path in room.desk.leftovers():
        shutil.rmtree(path, ignore_errors=True)
        print(f"{'could not remove' if path.exists() else 'removed'} {path}")
    return 0


def dev_check(room: Room) -> int:
    """The teachers' own examination."""
    from mini_docker.lab.dev import examine_all

    wanted = [sheets.find(room.labs, word) for word in room.options.only] or room.labs
    good = examine_all(room.checkout, wanted, room.live_allowed, lambda line: print(line, flush=True))
    return 0 if good else Verdict.FAIL.value


def _kinds(lab: Lab) -> Sequence[str]:
    return sorted({check.kind for check in lab.checks})

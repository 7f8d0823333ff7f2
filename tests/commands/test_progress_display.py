"""Progress, on a terminal and off it."""

from __future__ import annotations

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mini_docker.commands.failure import CommandFailed
from mini_docker.commands.progress import BAR_WIDTH, ProgressDisplay, bar, show_progress


class Screen:
    """A terminal of the few control sequences that we use: rows of text, and a cursor."""

    def __init__(self) -> None:
        self.rows = [""]
        self.row = 0

    def feed(self, text: str) -> None:
        position = 0
        while position < len(text):
            letter = text[position]
            position += 1
            if letter == "\x1b":
                end = next(i for i in range(position, len(text)) if text[i].isalpha())
                count, what = int(text[position + 1 : end]), text[end]
                position = end + 1
                if what == "A":
                    self.row -= count
                elif what == "B":
                    self.row += count
                elif what == "K":
                    self.rows[self.row] = ""
                assert 0 <= self.row < len(self.rows), "the cursor left what was drawn"
            elif letter == "\n":
                self.row += 1
                if self.row == len(self.rows):
                    self.rows.append("")
            elif letter != "\r":
                self.rows[self.row] += letter


@given(st.lists(st.tuples(st.sampled_from(["l1", "l2", "l3", ""]), st.integers(0, 100)), max_size=20))
@settings(max_examples=100, deadline=None)
def test_each_layer_keeps_its_row(lines: list[tuple[str, int]]) -> None:
    """However the layers' lines interleave, each redraws its own row, showing the last state of each."""
    out = io.StringIO()
    display = ProgressDisplay(out, 200)
    last: dict[str, int] = {}
    for layer, current in lines:
        if layer:
            last[layer] = current
            detail = {"current": current, "total": 100}
            display.show({"id": layer, "status": "Downloading", "progressDetail": detail})
        else:
            last = {}
            display.show({"status": "word"})
    screen = Screen()
    screen.feed(out.getvalue())
    shown = [row for row in screen.rows if row]
    tail = shown[len(shown) - len(last) :]
    assert [row.partition(":")[0] for row in tail] == list(last)
    assert all(row.endswith(bar(last[row[:2]], 100, 200).strip()) for row in tail)


def test_a_bar() -> None:
    """Half done is half a bar; a narrow terminal gets the numbers alone, an unknown total just the bytes."""
    assert bar(50, 100, 200) == f"[{'=' * (BAR_WIDTH // 2)}>{' ' * (BAR_WIDTH // 2)}]      50B/100B"
    assert bar(50, 100, 80) == "     50B/100B"
    assert bar(50, 0, 200) == "     50B"
    assert bar(0, 0, 200) == ""


def test_off_a_terminal_there_are_no_bars() -> None:
    """In a log file only states are wanted, a line each, and no control characters."""
    out = io.StringIO()
    lines = [
        {"status": "Pulling from library/b", "id": "latest"},
        {"status": "Downloading", "progressDetail": {"current": 1, "total": 2}, "id": "l1"},
        {"status": "Pull complete", "progressDetail": {}, "id": "l1"},
        {"status": "Digest: sha256:1"},
        {"stream": "Loaded image: x\n"},
        {"aux": {"Tag": "1"}, "progressDetail": {}},
    ]
    assert show_progress(lines, out) == [{"Tag": "1"}]
    expected = "latest: Pulling from library/b\nl1: Pull complete\nDigest: sha256:1\nLoaded image: x\n"
    assert out.getvalue() == expected


def test_an_error_in_the_stream() -> None:
    """The status was sent as 200 long ago: the last line says that it failed, and with which code."""
    with pytest.raises(CommandFailed, match="no space") as caught:
        show_progress([{"errorDetail": {"code": 9, "message": "no space"}, "error": "no space"}], io.StringIO())
    assert caught.value.exit_code == 9

"""Replies on a terminal: incremental Markdown in which completed blocks are printed once."""

import io
import re

import pytest
from rich.console import Console

from parley_cli.chat.markdown_stream import completed_length, without_control_characters
from parley_cli.chat.screen import TerminalScreen


@pytest.mark.parametrize(
    ("completed", "rest"),
    [
        ("", "One paragraph"),
        ("One paragraph.\n\n", "Another"),
        ("# Title\n\nText.\n\n", "```py\nx = 1\n\ny = 2\n"),
        ("```py\nx = 1\n\ny = 2\n```\n\n", "After"),
        ("Before.\n\n", "A list:\n\n- one\n\n- two\n\n  more of two"),
        ("", "Steps:\n\n1. one\n\n2. two"),
    ],
)
def test_only_blocks_that_further_text_cannot_change_are_completed(
    completed: str, rest: str
) -> None:
    assert completed_length(completed + rest) == len(completed)


def test_control_characters_are_removed() -> None:
    assert without_control_characters("a\x1b[2Jb\r\n\tc\x9b0m") == "a[2Jb\n\tc0m"


def test_a_finished_reply_has_every_word_on_the_screen_once() -> None:
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=60, height=6, color_system=None)
    words = [f"word{number}" for number in range(120)]
    text = "\n\n".join(" ".join(words[start : start + 8]) for start in range(0, 120, 8))
    with TerminalScreen(console).reply("Helper") as write:
        for start in range(0, len(text), 7):
            write(text[start : start + 7])
    left = _left_on_screen(output.getvalue())
    assert [word for word in left.split() if word.startswith("word")] == words


def _left_on_screen(written: str) -> str:
    """The screen after lines, erased lines (2K) and moves up (1A)."""
    lines, row = [""], 0
    for part in re.split(r"(\n|\x1b\[[?\d]+[A-Za-z])", written.replace("\r", "")):
        match part:
            case "\n":
                row += 1
                lines.extend([""] * (row + 1 - len(lines)))
            case "\x1b[2K":
                lines[row] = ""
            case "\x1b[1A":
                row -= 1
            case _ if not part.startswith("\x1b"):
                lines[row] += part
    return "\n".join(lines)

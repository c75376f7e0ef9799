"""A reply on a terminal: Markdown that grows without being drawn twice."""

import io
import re

import pytest
from rich.console import Console

from parley_cli.chat.markdown_stream import finished_part, shown
from parley_cli.chat.screen import TerminalScreen


@pytest.mark.parametrize(
    ("finished", "rest"),
    [
        ("", "One paragraph"),
        ("One paragraph.\n\n", "Another"),
        ("# Title\n\nText.\n\n", "```py\nx = 1\n\ny = 2\n"),
        ("```py\nx = 1\n\ny = 2\n```\n\n", "After"),
        ("Before.\n\n", "A list:\n\n- one\n\n- two\n\n  more of two"),
        ("", "Steps:\n\n1. one\n\n2. two"),
    ],
)
def test_only_blocks_that_nothing_can_change_are_finished(finished: str, rest: str) -> None:
    assert finished_part(finished + rest) == len(finished)


def test_a_terminal_is_shown_no_control_characters() -> None:
    assert shown("a\x1b[2Jb\r\n\tc\x9b0m") == "a[2Jb\n\tc0m"


def test_the_reply_that_is_left_on_a_terminal_has_every_word_once() -> None:
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=60, height=6, color_system=None)
    words = [f"word{number}" for number in range(120)]
    text = "\n\n".join(" ".join(words[start : start + 8]) for start in range(0, 120, 8))
    with TerminalScreen(console).reply("Helper") as reply:
        for start in range(0, len(text), 7):
            reply.write(text[start : start + 7])
    left = _left_on_screen(output.getvalue())
    assert [word for word in left.split() if word.startswith("word")] == words


def _left_on_screen(written: str) -> str:
    """What a terminal keeps of lines, of lines erased (2K) and of moves up (1A)."""
    lines, place = [""], 0
    for part in re.split(r"(\n|\x1b\[[?\d]+[A-Za-z])", written.replace("\r", "")):
        match part:
            case "\n":
                place += 1
                lines.extend([""] * (place + 1 - len(lines)))
            case "\x1b[2K":
                lines[place] = ""
            case "\x1b[1A":
                place -= 1
            case _ if not part.startswith("\x1b"):
                lines[place] += part
    return "\n".join(lines)

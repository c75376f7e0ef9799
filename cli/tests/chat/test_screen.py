"""Replies on a terminal: incremental Markdown in which completed blocks are printed once."""

import io
import signal

import pytest
from cli_fakes.terminal import left_on_screen
from rich.console import Console
from rich.markdown import Markdown

from parley_cli.chat import screen
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
    left = left_on_screen(output.getvalue())
    assert [word for word in left.split() if word.startswith("word")] == words


def test_ctrl_c_while_a_block_is_drawn_leaves_the_block_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pressed: list[str] = []

    def interrupted_markdown(text: str) -> Markdown:
        if "word5" in text and not pressed:
            pressed.append(text)
            signal.raise_signal(signal.SIGINT)
        return Markdown(text)

    monkeypatch.setattr(screen, "Markdown", interrupted_markdown)
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=60, height=6, color_system=None)
    blocks = ["word1 word2", "word3 word4", "word5 word6", "word7 word8"]
    with (  # noqa: PT012 - the write that draws the third block is interrupted
        pytest.raises(KeyboardInterrupt),
        TerminalScreen(console).reply("Helper") as write,
    ):
        for block in blocks:
            write(f"{block}\n\n")
    lines = [line.strip() for line in left_on_screen(output.getvalue()).splitlines()]
    assert [line for line in lines if line] == ["Helper", *blocks]

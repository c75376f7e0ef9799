"""Screens of the chat: incremental Markdown on a terminal, plain text in a pipe."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Protocol, TextIO

from rich.console import Console
from rich.live import Live
from rich.markdown import Markdown
from rich.text import Text

from parley_cli.chat.interrupt_gate import InterruptGate, without_echo
from parley_cli.chat.markdown_stream import (
    IncrementalMarkdown,
    completed_length,
    without_control_characters,
)

FRAMES_PER_SECOND = 12


ReplyWriter = Callable[[str], None]
"""Shows the next part of a reply."""


class Screen(Protocol):
    def notice(self, text: str) -> None:
        """Show a line about the chat, such as an error."""

    def message(self, author: str, content: str, *, requested: bool) -> None:
        """Show an earlier message; `requested` if the user asked for the history."""

    def reply(self, author: str) -> AbstractContextManager[ReplyWriter]:
        """Show a reply that is written within the context."""

    def read_line(self, prompt: str) -> str | None:
        """The next line typed; None at the end of the input."""


class PipedScreen:
    """Writes the conversation to `output`, and everything else to `notices`."""

    def __init__(self, lines: TextIO, output: TextIO, notices: TextIO) -> None:
        self._lines, self._output, self._notices = lines, output, notices

    def notice(self, text: str) -> None:
        print(text, file=self._notices, flush=True)

    def message(self, author: str, content: str, *, requested: bool) -> None:
        file = self._output if requested else self._notices
        print(f"{author}: {content}", file=file, flush=True)

    @contextmanager
    def reply(self, author: str) -> Iterator[ReplyWriter]:
        del author
        yield partial(print, end="", file=self._output, flush=True)
        print(file=self._output, flush=True)

    def read_line(self, prompt: str) -> str | None:
        del prompt
        line = self._lines.readline()
        return line.rstrip("\n") if line else None


class TerminalScreen:
    def __init__(self, console: Console) -> None:
        self._console = console

    def notice(self, text: str) -> None:
        self._console.print(Text(without_control_characters(text), "dim"))

    def message(self, author: str, content: str, *, requested: bool) -> None:
        del requested
        self._console.print(Text(author, "bold"))
        self._console.print(Markdown(without_control_characters(content)))
        self._console.print()

    @contextmanager
    def reply(self, author: str) -> Iterator[ReplyWriter]:
        unfinished = IncrementalMarkdown()
        with without_echo(), InterruptGate() as gate:
            live = Live(
                unfinished,
                console=self._console,
                refresh_per_second=FRAMES_PER_SECOND,
                transient=True,
            )
            try:
                with gate.closed():
                    self._console.print(Text(author, "bold"))
                    live.start()
                yield gate.protecting(partial(self._write, unfinished))
            finally:
                with gate.closed():
                    live.stop()
                    self._console.print(Markdown(unfinished.text))
                    self._console.print()

    def read_line(self, prompt: str) -> str | None:
        try:
            return input(prompt)
        except EOFError:
            self._console.print()
            return None
        except KeyboardInterrupt:
            self._console.print()
            raise

    def _write(self, unfinished: IncrementalMarkdown, text: str) -> None:
        """Print completed blocks once; only the unfinished rest is redrawn as it grows."""
        whole = unfinished.text + without_control_characters(text)
        completed = completed_length(whole)
        unfinished.text = whole[completed:]
        if completed:
            self._console.print(Markdown(whole[:completed]))
            self._console.print()

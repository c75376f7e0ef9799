"""Where the chat is shown: Markdown as it grows on a terminal, plain text in a pipe."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, TextIO

from rich.console import Console
from rich.live import Live
from rich.markdown import Markdown
from rich.text import Text

from parley_cli.chat.markdown_stream import IncrementalMarkdown, finished_part, shown

FRAMES_PER_SECOND = 12


class Reply(Protocol):
    def write(self, text: str) -> None: ...


class Screen(Protocol):
    def notice(self, text: str) -> None:
        """Something about the chat that is no part of it."""

    def message(self, who: str, content: str, *, asked_for: bool) -> None:
        """A message that was sent before; shown as a reminder unless it was asked for."""

    def reply(self, who: str) -> AbstractContextManager[Reply]:
        """A reply that is written while the context lasts."""

    def ask(self, prompt: str) -> str | None:
        """A line that is typed; None at the end of the input."""


class PipedScreen:
    """The conversation goes to one stream, everything about it to another."""

    def __init__(self, typed: TextIO, out: TextIO, about: TextIO) -> None:
        self._typed, self._out, self._about = typed, out, about

    def notice(self, text: str) -> None:
        print(text, file=self._about, flush=True)

    def message(self, who: str, content: str, *, asked_for: bool) -> None:
        print(f"{who}: {content}", file=self._out if asked_for else self._about, flush=True)

    @contextmanager
    def reply(self, who: str) -> Iterator[Reply]:
        del who
        yield _Piped(self._out)
        print(file=self._out, flush=True)

    def ask(self, prompt: str) -> str | None:
        del prompt
        line = self._typed.readline()
        return line.rstrip("\n") if line else None


class _Piped:
    def __init__(self, out: TextIO) -> None:
        self._out = out

    def write(self, text: str) -> None:
        print(text, end="", file=self._out, flush=True)


class TerminalScreen:
    def __init__(self, console: Console) -> None:
        self._console = console

    def notice(self, text: str) -> None:
        self._console.print(Text(shown(text), "dim"))

    def message(self, who: str, content: str, *, asked_for: bool) -> None:
        del asked_for
        self._console.print(Text(who, "bold"))
        self._console.print(Markdown(shown(content)))
        self._console.print()

    @contextmanager
    def reply(self, who: str) -> Iterator[Reply]:
        self._console.print(Text(who, "bold"))
        growing = IncrementalMarkdown()
        try:
            with Live(
                growing,
                console=self._console,
                refresh_per_second=FRAMES_PER_SECOND,
                transient=True,
            ):
                yield _OnTerminal(self._console, growing)
        finally:
            self._console.print(Markdown(growing.text))
            self._console.print()

    def ask(self, prompt: str) -> str | None:
        try:
            return input(prompt)
        except EOFError:
            self._console.print()
            return None


class _OnTerminal:
    """What is finished stays on the screen as it is; only the rest is drawn again as it grows."""

    def __init__(self, console: Console, growing: IncrementalMarkdown) -> None:
        self._console, self._growing = console, growing

    def write(self, text: str) -> None:
        whole = self._growing.text + shown(text)
        finished = finished_part(whole)
        self._growing.text = whole[finished:]
        if finished:
            self._console.print(Markdown(whole[:finished]))
            self._console.print()

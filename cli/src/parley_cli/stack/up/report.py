"""What `parley up` tells the terminal: plain lines, with a little colour where that is shown."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

PASTE = """\
SESSION=$(curl -s -X POST {url}/v1/sessions -H "Authorization: Bearer $TOKEN" \
-H 'Content-Type: application/json' -d '{{}}' | sed 's/.*"id":"\\([^"]*\\)".*/\\1/')
curl -N {url}/v1/sessions/$SESSION/messages -H "Authorization: Bearer $TOKEN" \
-H 'Content-Type: application/json' -d '{{"content":"Hello! My name is Ada.","stream":true}}'"""


class _Terminal(Console):
    def on_broken_pipe(self) -> None:
        # Whoever read the lines has left; the stack runs on, and nothing more is written.
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def terminal() -> Console:
    return _Terminal()


class Report:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._waiting_for: list[str] = []
        self._status = console.status("")

    def starting(self, names: Sequence[str]) -> None:
        self._waiting_for = list(names)
        self._status.start()
        self._show_waiting()

    def ready(self, name: str, seconds: float, address: str) -> None:
        if name in self._waiting_for:
            self._waiting_for.remove(name)
        self._line(Text("✓ ", "green"), f"{name:<18} ready in {seconds:4.1f} s   {address}")
        self._show_waiting()

    def tell(self, text: str) -> None:
        self._line(text)

    def trouble(self, text: str) -> None:
        self._line(Text("! ", "yellow"), text)

    def ending(self) -> None:
        self.quiet()
        self._line("Ending everything in order; once more to end it at once.")

    def running(self, url: str, token: str | None, data: Path, seconds: float) -> None:
        self.quiet()
        self._line()
        self._line(
            Text(f"Parley answers at {url}", "bold"),
            f" after {seconds:.1f} s; its API is shown at {url}/docs",
        )
        self._line(f"Data and logs are in {data}. Ctrl-C ends everything.")
        self._line()
        if token is None:
            self._line("Tokens come from where PARLEY_JWKS_URL points.")
            return
        self._line(
            f"Chat with `{_parley()} chat` in another terminal, or paste this there "
            "(a token of `you`):"
        )
        self._line()
        self._line(f"TOKEN={token}")
        self._line(PASTE.format(url=url))
        self._line()

    def quiet(self) -> None:
        """Take the line about what is waited for away."""
        self._status.stop()

    def _show_waiting(self) -> None:
        self._status.update(Text("waiting for " + ", ".join(self._waiting_for)))

    def _line(self, *parts: str | Text) -> None:
        # Never folded: a line may be pasted.
        self._console.print(Text.assemble(*parts), soft_wrap=True, highlight=False)


def _parley() -> str:
    """The command as it can be typed here: it is seldom on the PATH."""
    program = Path(sys.argv[0])
    return os.path.relpath(program) if program.name == "parley" else "python -m parley_cli"

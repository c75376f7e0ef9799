"""Terminal output of `parley up`: plain lines, coloured if the terminal supports it."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

CURL_EXAMPLE = """\
SESSION=$(curl -s -X POST {url}/v1/sessions -H "Authorization: Bearer $TOKEN" \
-H 'Content-Type: application/json' -d '{{}}' | sed 's/.*"id":"\\([^"]*\\)".*/\\1/')
curl -N {url}/v1/sessions/$SESSION/messages -H "Authorization: Bearer $TOKEN" \
-H 'Content-Type: application/json' -d '{{"content":"Hello! My name is Ada.","stream":true}}'"""


class _Terminal(Console):
    def on_broken_pipe(self) -> None:
        # The reader closed the pipe. The stack keeps running and prints nothing more.
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def terminal() -> Console:
    return _Terminal()


class Report:
    """Prints the progress of the stack, with a status line for processes that are starting."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._starting: list[str] = []
        self._status = console.status("")

    def starting(self, names: Sequence[str]) -> None:
        self._starting = list(names)
        self._status.start()
        self._update_status()

    def ready(self, name: str, seconds: float, address: str) -> None:
        if name in self._starting:
            self._starting.remove(name)
        self._print(Text("✓ ", "green"), f"{name:<18} ready in {seconds:4.1f} s   {address}")
        self._update_status()

    def print_line(self, text: str) -> None:
        self._print(text)

    def warning(self, text: str) -> None:
        self._print(Text("! ", "yellow"), text)

    def stopping(self) -> None:
        self.clear_status()
        self._print("Stopping. Press Ctrl-C again to kill all processes.")

    def started(
        self, url: str, token: str | None, data: Path, seconds: float, *, has_page: bool
    ) -> None:
        self.clear_status()
        self._print()
        self._print(
            Text(f"Parley is ready at {url}", "bold"),
            f" after {seconds:.1f} s; API documentation at {url}/docs",
        )
        self._print(f"Data and logs are in {data}. Press Ctrl-C to stop.")
        self._print()
        if token is None:
            self._print("Get a token from the issuer of PARLEY_JWKS_URL.")
            return
        if has_page:
            self._print("Open the chat page, signed in as the user `you`:")
            self._print()
            self._print(Text(f"{url}/#token={token}", "bold"))
            self._print()
        self._print(
            f"Chat with `{_parley_command()} chat` in another terminal, or paste this there "
            "(the token is for the user `you`):"
        )
        self._print()
        self._print(f"TOKEN={token}")
        self._print(CURL_EXAMPLE.format(url=url))
        self._print()

    def clear_status(self) -> None:
        self._status.stop()

    def _update_status(self) -> None:
        self._status.update(Text("waiting for " + ", ".join(self._starting)))

    def _print(self, *parts: str | Text) -> None:
        # Never wrapped: a line may be pasted.
        self._console.print(Text.assemble(*parts), soft_wrap=True, highlight=False)


def _parley_command() -> str:
    """The command as the user can type it: it is seldom on the PATH."""
    program = Path(sys.argv[0])
    return os.path.relpath(program) if program.name == "parley" else "python -m parley_cli"

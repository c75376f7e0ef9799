"""Terminal output of `parley up`: plain lines, coloured if the terminal supports it."""

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from parley_cli.settings import DEFAULT_DATA
from parley_cli.stack.program import parley_command
from parley_cli.stack.stack_settings import UpSettings

CURL_EXAMPLE = """\
SESSION=$({curl} -s -X POST {url}/v1/sessions -H "Authorization: Bearer $TOKEN" \
-H 'Content-Type: application/json' -d '{{}}' | sed 's/.*"id":"\\([^"]*\\)".*/\\1/')
{curl} -N {url}/v1/sessions/$SESSION/messages -H "Authorization: Bearer $TOKEN" \
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
        self._download = ""
        self._printed_quarters = -1

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

    def downloading(self, done: int, total: int) -> None:
        """Show the progress in bytes: in the status line, or elsewhere in five lines."""
        progress = f"{done / 1e6:.1f} of {total / 1e6:.1f} MB ({done * 100 // total} %)"
        text = f"downloading Kafka, which later starts reuse: {progress}"
        self._download = "" if done == total else text
        self._update_status()
        if not self._console.is_terminal and self._printed_quarters != (
            quarters := done * 4 // total
        ):
            self._printed_quarters = quarters
            self._print(text)

    def started(self, url: str, data: Path, seconds: float) -> None:
        self.clear_status()
        self._print()
        self._print(
            Text(f"Parley is ready at {url}", "bold"),
            f" after {seconds:.1f} s; API documentation at {url}/docs",
        )
        self._print(f"Data and logs are in {data}. Press Ctrl-C to stop.")
        self._print()

    def monitoring(self, urls: Mapping[str, str]) -> None:
        for name, url in urls.items():
            self._print(f"{name}: {url}")
        self._print()

    def chat_page(self, url: str, token: str) -> None:
        self._print("Open the chat page, signed in as the user `you`:")
        self._print()
        self._print(Text(f"{url}/#token={token}", "bold"))
        self._print()

    def authority(self, file: Path, trust: str) -> None:
        self._print(f"A local authority, {file}, issued the certificates.")
        self._print(f"To make this machine trust it, once: {trust}")
        self._print()

    def commands(self, url: str, token: str, chat: str, authority: Path | None = None) -> None:
        """Print commands to paste into another terminal."""
        curl = f"curl --cacert {shlex.quote(str(authority))}" if authority else "curl"
        self._print("Chat in another terminal:")
        self._print()
        self._print(chat)
        self._print()
        self._print("Or with curl, as the user `you`:")
        self._print()
        self._print(f"TOKEN={token}")
        self._print(CURL_EXAMPLE.format(curl=curl, url=url))
        self._print()

    def clear_status(self) -> None:
        self._status.stop()

    def _update_status(self) -> None:
        self._status.update(Text(self._download or "waiting for " + ", ".join(self._starting)))

    def _print(self, *parts: str | Text) -> None:
        # Never wrapped: a line may be pasted.
        self._console.print(Text.assemble(*parts), soft_wrap=True, highlight=False)


def chat_command(settings: UpSettings, token: str) -> str:
    """The command that chats with this stack from another terminal in the same folder."""
    environment = data_variable(settings)
    if settings.jwt_secret:
        # Set in this terminal only, so the other one cannot sign a token.
        environment["PARLEY_TOKEN"] = token
    return parley_command("chat", environment=environment)


def data_variable(settings: UpSettings) -> dict[str, str]:
    """The variable with which a command in another terminal finds this stack."""
    folder = settings.data.resolve()
    return {} if folder == DEFAULT_DATA.resolve() else {"PARLEY_DATA": str(folder)}

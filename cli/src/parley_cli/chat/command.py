"""Run of `parley chat`: connects to the gateway, holds the conversation, returns the exit code."""

import os
import sys
from datetime import UTC, datetime

import httpx2
from rich.console import Console

from parley_cli.chat.client import TIMEOUT, ChatClient, ChatError
from parley_cli.chat.conversation import Conversation
from parley_cli.chat.screen import PipedScreen, Screen, TerminalScreen
from parley_cli.settings import ChatSettings, load
from parley_cli.stack.dev_tokens import development_token
from parley_cli.stack.state_file import gateway_url


def chat(
    *,
    url: str | None,
    token: str | None,
    user: str,
    assistant: str | None,
    session: str | None,
) -> int:
    """Raises InvalidSettings, SecretNotFound."""
    settings = load(ChatSettings)
    bearer = token or _configured_token(settings) or _development_token(settings, user)
    if not (bearer.isascii() and bearer.isprintable()):
        print("The token is invalid: it contains non-ASCII characters.", file=sys.stderr)
        return 1
    interactive = sys.stdin.isatty() and sys.stdout.isatty()
    try:
        client = httpx2.Client(
            base_url=url or gateway_url(settings.data, settings.port),
            headers={"authorization": f"Bearer {bearer}"},
            timeout=TIMEOUT,
            # The machine's proxy is not for the gateway of a local stack.
            trust_env=url is not None,
        )
        with client:
            conversation = Conversation(
                ChatClient(client), _screen(interactive), interactive=interactive
            )
            conversation.open(assistant=assistant, session=session)
            conversation.run()
    except BrokenPipeError:
        # The reader closed the pipe. Redirect, so that the flush at exit does not fail as well.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ChatError, httpx2.InvalidURL, httpx2.UnsupportedProtocol) as error:
        print(error, file=sys.stderr)
        return 1
    return 0 if conversation.succeeded else 1


def _screen(interactive: bool) -> Screen:
    if not interactive:
        return PipedScreen(sys.stdin, sys.stdout, sys.stderr)
    # Imported for its side effect: line editing and recall in `input`.
    import readline  # noqa: F401

    return TerminalScreen(Console(highlight=False))


def _configured_token(settings: ChatSettings) -> str | None:
    return settings.token.get_secret_value() if settings.token else None


def _development_token(settings: ChatSettings, user: str) -> str:
    return development_token(settings, user=user, now=datetime.now(UTC))

"""Run of `parley chat`: connects to the gateway, holds the conversation, returns the exit code."""

import argparse
import sys

from rich.console import Console

from parley_cli.chat.client import TIMEOUT, ChatClient, ChatError
from parley_cli.chat.conversation import Conversation
from parley_cli.chat.screen import PipedScreen, Screen, TerminalScreen
from parley_cli.service_commands.gateway_client import gateway_client
from parley_cli.settings import ChatSettings, load
from parley_cli.stack.dev_tokens import development_token


def chat(options: argparse.Namespace) -> int:
    """Raises InvalidSettings, CommandError."""
    settings = load(ChatSettings)
    token = options.token or (settings.token and settings.token.get_secret_value())
    token = token or development_token(settings, user=options.user)
    if not (token.isascii() and token.isprintable()):
        raise ChatError("The token is invalid: it should have printable ASCII characters only.")
    interactive = sys.stdin.isatty() and sys.stdout.isatty()
    with gateway_client(settings, options.url, token, TIMEOUT) as client:
        conversation = Conversation(
            ChatClient(client), _screen(interactive), interactive=interactive
        )
        conversation.open(
            assistant=options.assistant, session=options.session, new=options.new or not interactive
        )
        conversation.run()
    return 0 if conversation.succeeded else 1


def _screen(interactive: bool) -> Screen:
    if not interactive:
        return PipedScreen(sys.stdin, sys.stdout, sys.stderr)
    # Imported for its side effect: line editing and recall in `input`.
    import readline  # noqa: F401

    return TerminalScreen(Console(highlight=False))

"""The error that ends a command."""


class CommandError(Exception):
    """The command failed; the message is a sentence for the user."""

    exit_code = 1

"""Error of the engines: a failure to start, with a sentence as its message."""

import contextlib
from collections.abc import Iterator

from parley_cli.errors import CommandError


class EngineError(CommandError):
    """An engine cannot be started; the message is a sentence for the user."""


@contextlib.contextmanager
def os_errors_as_engine_errors(engine: str) -> Iterator[None]:
    """Convert errors of the system, such as a full disk or a forbidden folder, to EngineError."""
    try:
        yield
    except OSError as error:
        raise EngineError(f"{engine} cannot be started: {error}.") from error


def package_not_installed(engine: str, package: str) -> EngineError:
    return EngineError(
        f"{engine} cannot be started because the package `{package}` is not installed. "
        "Install it with: pip install 'parley-cli[up]'"
    )

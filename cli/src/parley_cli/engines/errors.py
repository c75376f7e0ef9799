"""The one way in which an engine fails to come up: with a sentence."""

import contextlib
from collections.abc import Iterator


class EngineError(Exception):
    """An engine could not be brought up; the message is one sentence for whoever typed."""


@contextlib.contextmanager
def one_sentence(engine: str) -> Iterator[None]:
    """Tell of what the system refused (a full disk, a folder of another's) as EngineError."""
    try:
        yield
    except OSError as error:
        raise EngineError(f"{engine} cannot be started: {error}.") from error

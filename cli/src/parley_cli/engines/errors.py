"""The one way in which an engine fails to come up: with a sentence."""

import contextlib
from collections.abc import Iterator


class EngineFailed(Exception):
    """An engine could not be brought up; the message is one sentence for whoever typed."""


@contextlib.contextmanager
def one_sentence(engine: str) -> Iterator[None]:
    """Tell of what the system refused (a full disk, a folder of another's) as EngineFailed."""
    try:
        yield
    except OSError as error:
        raise EngineFailed(f"{engine} cannot be started: {error}.") from error

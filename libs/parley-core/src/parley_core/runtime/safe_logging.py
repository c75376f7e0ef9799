"""Logging without the messages of unexpected exceptions, which may contain user content."""

import logging
import sys
import time
import traceback
from types import TracebackType

_ExceptionInfo = (
    tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
)


def configure_logging() -> None:
    """Log one line per entry to stderr, with times in UTC.

    Of an exception, from whichever library, only the class and the stack frames are logged.
    """
    formatter = _SafeFormatter(
        "%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S"
    )
    formatter.converter = time.gmtime
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    # While an engine is unreachable, these clients log tracebacks many times a second. Their
    # callers receive the error too, and log it once.
    for client in ("aiokafka", "asyncpg"):
        logging.getLogger(client).setLevel(logging.CRITICAL)


def log_unexpected_error(log: logging.Logger, what: str, error: BaseException) -> None:
    log.error("%s: %s", what, _frames_and_class(error))


class _SafeFormatter(logging.Formatter):
    def formatException(self, ei: _ExceptionInfo) -> str:
        return _frames_and_class(ei[1]) if ei[1] is not None else ""


def _frames_and_class(error: BaseException) -> str:
    frames = "".join(traceback.format_tb(error.__traceback__))
    return f"{type(error).__name__}\n{frames}".rstrip()

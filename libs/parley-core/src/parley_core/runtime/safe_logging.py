"""Logging without the messages of unexpected exceptions, which may contain user content.

Each entry is one line, as text for a terminal or as JSON for a collector.
"""

import logging
import socket
import sys
import time
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from types import TracebackType
from typing import Any, Literal

import msgspec
from pydantic import Field

from parley_core.runtime.request_context import log_fields
from parley_core.runtime.settings import Settings, load
from parley_core.tracing.spans import trace_ids

_ExceptionInfo = (
    tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
)
_ONE_LINE = str.maketrans({"\n": "\\n", "\r": "\\r"})

log = logging.getLogger(__name__)


class LogSettings(Settings, env_prefix="PARLEY_"):
    log_format: Literal["text", "json"] = Field(
        default="text", description="text for a terminal, or json for a collector of logs"
    )


def configure_logging(service: str) -> None:
    """Log one line per entry to stderr, with times in UTC. Raises InvalidSettings.

    Of an exception, from whichever library, only the class and the stack frames are logged.
    """
    is_json = load(LogSettings).log_format == "json"
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter(service) if is_json else _TextFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.captureWarnings(True)
    sys.excepthook = _log_uncaught
    # While an engine is unreachable, these clients log tracebacks many times a second. Their
    # callers receive the error too, and log it once.
    for client in ("aiokafka", "asyncpg"):
        logging.getLogger(client).setLevel(logging.CRITICAL)


def report_failure(reason: object) -> None:
    """Print the sentence with which a program fails; in JSON, as a log entry like every line."""
    formatters = {type(each.formatter) for each in logging.getLogger().handlers}
    if _JsonFormatter in formatters:
        log.critical("%s", reason)
    else:
        print(reason, file=sys.stderr, flush=True)


def _log_uncaught(
    kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    """Python itself would print the message, which may quote what a person wrote."""
    log.critical("the program failed", exc_info=(kind, error, traceback))


def log_unexpected_error(log: logging.Logger, what: str, error: BaseException) -> None:
    # Not as exc_info: the formatter of another program would print the message of the error.
    fields = {"exception": _class_and_frames(error)}
    log.error("%s: %s", what, type(error).__name__, extra={"fields": fields})


def _extra_fields(record: logging.LogRecord) -> Mapping[str, Any]:
    return {**log_fields(), **trace_ids(), **getattr(record, "fields", {})}


class _SafeFormatter(logging.Formatter):
    def formatException(self, ei: _ExceptionInfo) -> str:
        return _class_and_frames(ei[1]) if ei[1] is not None else ""


class _TextFormatter(_SafeFormatter):
    """`2026-11-24T10:00:00.000Z INFO logger: message name=value …`"""

    def __init__(self) -> None:
        super().__init__(
            "%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S"
        )
        self.converter = time.gmtime

    def format(self, record: logging.LogRecord) -> str:
        fields = "".join(f" {name}={value}" for name, value in _extra_fields(record).items())
        return (super().format(record) + fields).translate(_ONE_LINE)


class _JsonFormatter(_SafeFormatter):
    def __init__(self, service: str) -> None:
        super().__init__()
        # In Kubernetes, the name of the host is that of the pod.
        self._constant = {
            "service": service,
            "version": version("parley-core"),
            "pod": socket.gethostname(),
        }

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **self._constant,
            **_extra_fields(record),
        }
        if record.exc_info and record.exc_info[1] is not None:
            entry["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(entry, enc_hook=str).decode()


def _class_and_frames(error: BaseException) -> str:
    frames = "".join(traceback.format_tb(error.__traceback__))
    return f"{type(error).__name__}\n{frames}".rstrip()

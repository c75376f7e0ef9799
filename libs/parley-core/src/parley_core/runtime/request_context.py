"""Request context: what the current request, and the tasks that it starts, know of it."""

from collections.abc import Mapping
from contextvars import ContextVar
from time import perf_counter

_log_fields: ContextVar[Mapping[str, str] | None] = ContextVar("log_fields", default=None)
_started_at: ContextVar[float | None] = ContextVar("started_at", default=None)
_client_address: ContextVar[str | None] = ContextVar("client_address", default=None)


def begin_request(request_id: str, client_address: str | None = None) -> None:
    """Called first in the task of a request."""
    _client_address.set(client_address)
    _started_at.set(perf_counter())
    bind_log_fields(request_id=request_id)


def request_seconds() -> float | None:
    """The seconds since the current request began; None outside of requests."""
    started_at = _started_at.get()
    return None if started_at is None else perf_counter() - started_at


def client_address() -> str | None:
    """The address of the client of the current request, in a gateway; None elsewhere."""
    return _client_address.get()


def bind_log_fields(**fields: str) -> None:
    """Add fields to the log lines of the current task, and of tasks that it creates from now on."""
    _log_fields.set({**log_fields(), **fields})


def log_fields() -> Mapping[str, str]:
    return _log_fields.get() or {}

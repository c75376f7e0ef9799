"""Spans: the one way in which Parley records what a request, a turn or a batch did, and how long.

Off, and without cost, until `configure_tracing` has set a tracer; like logging, there is one per
process. A span never has text of a conversation, a path, a query or a message of an exception.
"""

from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Literal, Protocol, Self
from urllib.parse import urlsplit

from parley_core.tracing.trace_context import TraceContext

# A collector that does not answer must not delay the exit of a process for long.
FINISH_SECONDS = 2.0

Attributes = Mapping[str, str | int | float | bool | Sequence[str]]
Kind = Literal["internal", "server", "client", "producer", "consumer"]
Errors = tuple[type[Exception], ...]


class Span:
    """A part of a trace, current within its block; an exception that leaves the block ends it as
    failed. This one records nothing.
    """

    recording = False

    def set(self, attributes: Attributes) -> None:
        """Add attributes, or replace those of the same name."""

    def rename(self, name: str) -> None:
        pass

    def fail(self, error: str) -> None:
        """Mark it as failed with an error code or a class of errors, never with a message."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        pass


NO_SPAN = Span()


class Tracer(Protocol):
    """Records spans; the functions below describe what it does."""

    def span(self, name: str, kind: Kind, attributes: Attributes, ignored: Errors) -> Span: ...
    def continued_trace(self, name: str, kind: Kind, caller: TraceContext) -> Span: ...
    def new_trace(self, name: str, kind: Kind, linked: TraceContext | None) -> Span: ...
    def batch_span(
        self, name: str, kind: Kind, attributes: Attributes, creators: Iterable[str | None]
    ) -> Span: ...
    def headers(self) -> Mapping[str, str]: ...
    def ids(self) -> Mapping[str, str]: ...
    def finish(self, timeout_seconds: float) -> None: ...


_tracer: Tracer | None = None


def use_tracer(tracer: Tracer | None) -> None:
    """Record with it from now on, in the whole process; None records nothing."""
    global _tracer
    _tracer = tracer


def finish_tracing() -> None:
    """Export what is recorded, and record nothing from now on; at most FINISH_SECONDS."""
    if _tracer is not None:
        _tracer.finish(FINISH_SECONDS)
        use_tracer(None)


def is_tracing() -> bool:
    return _tracer is not None


def span(
    name: str,
    kind: Kind = "internal",
    attributes: Attributes | None = None,
    *,
    ignored: Errors = (),
) -> Span:
    """A part of the current span; nothing outside of a trace, or in one that is not sampled.

    An `ignored` exception that leaves the block does not end it as failed.
    """
    return NO_SPAN if _tracer is None else _tracer.span(name, kind, attributes or {}, ignored)


def continued_trace(name: str, kind: Kind, caller: TraceContext | None) -> Span:
    """A part of the span of a caller, or of the one that a stored event names."""
    if _tracer is None or caller is None:
        return NO_SPAN
    return _tracer.continued_trace(name, kind, caller)


def new_trace(name: str, kind: Kind, linked: TraceContext | None = None) -> Span:
    """The first span of a trace, linked to that of a caller who is not trusted."""
    return NO_SPAN if _tracer is None else _tracer.new_trace(name, kind, linked)


def batch_span(
    operation: Literal["send", "process"], topic: str, count: int, creators: Iterable[str | None]
) -> Span:
    """A span of work on `count` messages of a topic, linked to the spans that created them.

    `creators` are their traceparents. Without a sampled one among them nothing is recorded; if all
    sampled ones are of one trace, the span is a part of it, else the first of a trace of its own.
    Source of its attributes: https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/
    """
    if _tracer is None:
        return NO_SPAN
    attributes: Attributes = {
        "messaging.system": "kafka",
        "messaging.operation.type": operation,
        "messaging.operation.name": operation,
        "messaging.destination.name": topic,
        "messaging.batch.message_count": count,
    }
    kind: Kind = "producer" if operation == "send" else "consumer"
    return _tracer.batch_span(f"{operation} {topic}", kind, attributes, creators)


def server_attributes(url: str) -> dict[str, str | int]:
    """The server that a client span calls; without a port if the URL has none."""
    address = urlsplit(url)
    attributes: dict[str, str | int] = {"server.address": address.hostname or ""}
    if address.port is not None:
        attributes["server.port"] = address.port
    return attributes


def trace_headers() -> Mapping[str, str]:
    """The headers that carry the current trace to another service."""
    return {} if _tracer is None else _tracer.headers()


def current_traceparent() -> str | None:
    """The current span, for an event; None outside of a trace."""
    return trace_headers().get("traceparent")


def trace_ids() -> Mapping[str, str]:
    """`trace_id` and `span_id` for a line of the log; empty outside of a trace."""
    return {} if _tracer is None else _tracer.ids()

"""Tracer on OpenTelemetry's API; imported only where tracing is on."""

import threading
from collections.abc import Callable, Iterable, Mapping
from contextvars import Token
from types import TracebackType
from typing import Self

from opentelemetry import context, trace
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    TraceState,
)

from parley_core.http.errors import ParleyError
from parley_core.tracing.spans import NO_SPAN, Attributes, Errors, Kind, Span
from parley_core.tracing.trace_context import TraceContext, parse_trace_context

# As many as the SDK keeps by default.
MAX_LINKS = 128

_KINDS: Mapping[Kind, SpanKind] = {
    "internal": SpanKind.INTERNAL,
    "server": SpanKind.SERVER,
    "client": SpanKind.CLIENT,
    "producer": SpanKind.PRODUCER,
    "consumer": SpanKind.CONSUMER,
}
_EMPTY = context.Context()


class OpenTelemetryTracer:
    """Calls OpenTelemetry only for what is sampled: of a trace that is not, its context alone is
    carried on.
    """

    def __init__(self, tracer: trace.Tracer, finish: Callable[[], None]) -> None:
        """`finish` exports the spans that are not exported yet; it may block."""
        self._tracer, self._finish = tracer, finish

    def span(self, name: str, kind: Kind, attributes: Attributes, ignored: Errors) -> Span:
        if not trace.get_current_span().get_span_context().trace_flags.sampled:
            return NO_SPAN
        span = self._tracer.start_span(name, kind=_KINDS[kind], attributes=dict(attributes))
        return _CurrentSpan(span, ignored)

    def continued_trace(self, name: str, kind: Kind, caller: TraceContext) -> Span:
        parent = NonRecordingSpan(_span_context(caller))
        if not caller.sampled:
            return _CurrentSpan(parent)
        in_parent = trace.set_span_in_context(parent, _EMPTY)
        return _CurrentSpan(self._tracer.start_span(name, in_parent, _KINDS[kind]))

    def new_trace(self, name: str, kind: Kind, linked: TraceContext | None) -> Span:
        links = [Link(_span_context(linked))] if linked else []
        return _CurrentSpan(self._tracer.start_span(name, _EMPTY, _KINDS[kind], links=links))

    def batch_span(
        self, name: str, kind: Kind, attributes: Attributes, creators: Iterable[str | None]
    ) -> Span:
        sampled = _sampled(creators)
        if not sampled:
            return NO_SPAN
        is_one_trace = len({each.trace_id for each in sampled}) == 1
        parent = NonRecordingSpan(_span_context(sampled[0]))
        span = self._tracer.start_span(
            name,
            trace.set_span_in_context(parent, _EMPTY) if is_one_trace else _EMPTY,
            _KINDS[kind],
            dict(attributes),
            [Link(_span_context(each)) for each in sampled],
        )
        return _CurrentSpan(span)

    def headers(self) -> Mapping[str, str]:
        current = trace.get_current_span().get_span_context()
        if not current.is_valid:
            return {}
        ids = f"{current.trace_id:032x}-{current.span_id:016x}"
        headers = {"traceparent": f"00-{ids}-{int(current.trace_flags):02x}"}
        if current.trace_state:
            headers["tracestate"] = current.trace_state.to_header()
        return headers

    def ids(self) -> Mapping[str, str]:
        current = trace.get_current_span().get_span_context()
        if not current.is_valid:
            return {}
        return {"trace_id": f"{current.trace_id:032x}", "span_id": f"{current.span_id:016x}"}

    def finish(self, timeout_seconds: float) -> None:
        thread = threading.Thread(target=self._finish, name="trace export", daemon=True)
        thread.start()
        thread.join(timeout_seconds)


class _CurrentSpan(Span):
    """Current from the begin to the end of its block, which must run in one task."""

    def __init__(self, span: trace.Span, ignored: Errors = ()) -> None:
        self._span, self._ignored = span, ignored
        self.recording, self._failed = span.is_recording(), False
        self._token: Token[context.Context] | None = None

    def set(self, attributes: Attributes) -> None:
        self._span.set_attributes(dict(attributes))

    def rename(self, name: str) -> None:
        self._span.update_name(name)

    def fail(self, error: str) -> None:
        self._failed = True
        self._span.set_attribute("error.type", error)
        self._span.set_status(StatusCode.ERROR)

    def __enter__(self) -> Self:
        self._token = context.attach(trace.set_span_in_context(self._span))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Not `start_as_current_span` of the API: that records the messages of exceptions.
        if self._failed or isinstance(error, self._ignored):
            pass
        elif isinstance(error, ParleyError):
            self.fail(error.code)
        elif isinstance(error, Exception):
            self.fail(type(error).__name__)
        self._span.end()
        if self._token is not None:
            context.detach(self._token)


def _span_context(caller: TraceContext) -> SpanContext:
    return SpanContext(
        caller.trace_id,
        caller.span_id,
        is_remote=True,
        trace_flags=TraceFlags(caller.flags),
        trace_state=TraceState.from_header([caller.tracestate]) if caller.tracestate else None,
    )


def _sampled(creators: Iterable[str | None]) -> list[TraceContext]:
    """The first of the sampled contexts, each once."""
    sampled: dict[str, TraceContext] = {}
    for traceparent in creators:
        # An even flag is not sampled.
        if traceparent and traceparent[-1] in "13579bdf" and traceparent not in sampled:
            creator = parse_trace_context(traceparent)
            if creator is not None and creator.sampled:
                sampled[traceparent] = creator
                if len(sampled) == MAX_LINKS:
                    break
    return [*sampled.values()]

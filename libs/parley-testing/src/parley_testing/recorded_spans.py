"""Records the spans of the test process in memory."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from parley_core.tracing.sdk_provider import new_tracer
from parley_core.tracing.spans import use_tracer


class RecordedSpans:
    def __init__(self, exporter: InMemorySpanExporter) -> None:
        self._exporter = exporter

    @property
    def all(self) -> Sequence[ReadableSpan]:
        """The spans that have ended, in that order."""
        return self._exporter.get_finished_spans()

    def named(self, name: str) -> ReadableSpan:
        """The one span with that name."""
        (found,) = (span for span in self.all if span.name == name)
        return found

    @property
    def names(self) -> list[str]:
        return [span.name for span in self.all]


@contextmanager
def recorded_spans(sampled_share: float = 1.0) -> Iterator[RecordedSpans]:
    """Trace within the block, as a process does whose share of new traces is `sampled_share`."""
    exporter = InMemorySpanExporter()
    use_tracer(new_tracer("test", sampled_share, SimpleSpanProcessor(exporter)))
    try:
        yield RecordedSpans(exporter)
    finally:
        use_tracer(None)


def ids_of(span: ReadableSpan) -> tuple[str, str]:
    """The trace id and the span id, in hexadecimal."""
    context = span.get_span_context()
    assert context is not None
    return f"{context.trace_id:032x}", f"{context.span_id:016x}"


def traceparent_of(span: ReadableSpan) -> str:
    context = span.get_span_context()
    assert context is not None
    return "00-{}-{}-{:02x}".format(*ids_of(span), int(context.trace_flags))

"""OpenTelemetry's SDK, set up to export spans by OTLP over HTTP."""

import logging
import os
import socket
from collections.abc import Sequence
from importlib.metadata import version

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_ON,
    ParentBased,
    SamplingResult,
    TraceIdRatioBased,
)
from opentelemetry.trace import Link, SpanKind, TraceState
from opentelemetry.util.types import Attributes

from parley_core.tracing.otel_tracer import OpenTelemetryTracer


def background_export() -> SpanProcessor:
    """Exports spans from a thread of its own; the SDK reads where to, and more, from OTEL_*."""
    # Its warnings repeat with every attempt while a collector is unavailable; the failure of a
    # whole export is an error.
    logging.getLogger("opentelemetry").setLevel(logging.ERROR)
    return BatchSpanProcessor(OTLPSpanExporter())


def new_tracer(service: str, sampled_share: float, processor: SpanProcessor) -> OpenTelemetryTracer:
    """A tracer of the process that passes ended spans to the processor."""
    own = {
        "service.name": f"parley-{service}",
        "service.version": version("parley-core"),
        "service.instance.id": f"{socket.gethostname()}-{os.getpid()}",
    }
    provider = TracerProvider(
        EntrySampler(TraceIdRatioBased(sampled_share)),
        Resource(own).merge(OTELResourceDetector().detect()),
        shutdown_on_exit=False,  # It would wait for a collector for 30 s.
    )
    provider.add_span_processor(processor)
    tracer = provider.get_tracer("parley", version("parley-core"))
    return OpenTelemetryTracer(tracer, provider.shutdown)


class EntrySampler(ParentBased):
    """Decides where a trace begins; the rest of it follows.

    A span of a batch follows the spans that it is linked to: it exists only if one is sampled.
    """

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        is_batch = kind in (SpanKind.PRODUCER, SpanKind.CONSUMER)
        decide = ALWAYS_ON.should_sample if is_batch else super().should_sample
        return decide(parent_context, trace_id, name, kind, attributes, links, trace_state)

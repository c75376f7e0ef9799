"""Receiver of traces: the part of an OpenTelemetry collector that a test needs.

Source: https://opentelemetry.io/docs/specs/otlp/#otlphttp
"""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from parley_testing.serving import serving


@dataclass(frozen=True)
class ReceivedSpan:
    """Ids are hexadecimal; `links` are the trace and span ids of linked spans."""

    service: str
    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    links: tuple[tuple[str, str], ...]
    attributes: Mapping[str, Any]
    failed: bool


@dataclass
class OTLPReceiver:
    """`bodies` are the requests, byte for byte."""

    url: str = ""
    bodies: list[bytes] = field(default_factory=list)

    @classmethod
    @asynccontextmanager
    async def running(cls) -> "AsyncIterator[OTLPReceiver]":
        """Receive within the block; `url` is that of OTEL_EXPORTER_OTLP_ENDPOINT."""
        receiver = cls()

        async def receive(request: Request) -> Response:
            receiver.bodies.append(await request.body())
            answer = ExportTraceServiceResponse().SerializeToString()
            return Response(answer, media_type="application/x-protobuf")

        app = Starlette(routes=[Route("/v1/traces", receive, methods=["POST"])])
        async with serving(app) as served:
            receiver.url = served.url
            yield receiver

    def spans(self, trace_id: str | None = None) -> list[ReceivedSpan]:
        """All spans, or those of one trace."""
        found = [span for body in self.bodies for span in decode_spans(body)]
        return [each for each in found if trace_id in (None, each.trace_id)]


def decode_spans(body: bytes) -> Iterator[ReceivedSpan]:
    """The spans in an export request."""
    request = ExportTraceServiceRequest.FromString(body)
    for resource in request.resource_spans:
        service = _attributes(resource.resource.attributes)["service.name"]
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield _received(service, span)


def _received(service: str, span: Span) -> ReceivedSpan:
    return ReceivedSpan(
        service,
        span.name,
        Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        tuple((each.trace_id.hex(), each.span_id.hex()) for each in span.links),
        _attributes(span.attributes),
        span.status.code == Status.STATUS_CODE_ERROR,
    )


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair) for pair in pairs}


def _value(pair: KeyValue) -> Any:
    kind = pair.value.WhichOneof("value")
    if kind == "array_value":
        return [each.string_value for each in pair.value.array_value.values]
    return getattr(pair.value, kind) if kind else None

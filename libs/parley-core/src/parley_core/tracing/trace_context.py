"""Trace context: the span of a caller, as headers and events carry it.

Source: https://www.w3.org/TR/trace-context/
"""

import re
from dataclasses import dataclass

_FORM = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
# Sampled, and a random trace id.
_SAMPLED, _KNOWN = 0b01, 0b11
_MAX_TRACESTATE_LENGTH = 512


@dataclass(frozen=True, slots=True)
class TraceContext:
    """The ids of a span and of its trace; `tracestate` is for the tracing systems of others."""

    trace_id: int
    span_id: int
    flags: int
    tracestate: str = ""

    @property
    def sampled(self) -> bool:
        return bool(self.flags & _SAMPLED)


def parse_trace_context(traceparent: str, tracestate: str = "") -> TraceContext | None:
    """None for anything that is not a valid traceparent; a tracestate that is too long is lost."""
    form = _FORM.fullmatch(traceparent)
    if form is None:
        return None
    version, trace_id, span_id, flags, more = form.groups()
    # Later versions may have more fields.
    if version == "ff" or (version == "00" and more) or not int(trace_id, 16):
        return None
    if not int(span_id, 16):
        return None
    if len(tracestate) > _MAX_TRACESTATE_LENGTH:
        tracestate = ""
    return TraceContext(int(trace_id, 16), int(span_id, 16), int(flags, 16) & _KNOWN, tracestate)

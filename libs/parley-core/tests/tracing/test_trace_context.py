"""A traceparent is read as W3C Trace Context says; anything else is ignored."""

import pytest

from parley_core.tracing.trace_context import TraceContext, parse_trace_context

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.mark.parametrize(
    ("traceparent", "flags"),
    [
        (f"00-{TRACE}-{SPAN}-01", 1),
        (f"00-{TRACE}-{SPAN}-00", 0),
        (f"00-{TRACE}-{SPAN}-ff", 3),
        (f"01-{TRACE}-{SPAN}-01", 1),
        (f"cc-{TRACE}-{SPAN}-01-more", 1),
    ],
)
def test_a_valid_traceparent_names_a_span(traceparent: str, flags: int) -> None:
    expected = TraceContext(int(TRACE, 16), int(SPAN, 16), flags, "vendor=1")
    assert parse_trace_context(traceparent, "vendor=1") == expected
    assert expected.sampled == bool(flags & 1)


@pytest.mark.parametrize(
    "traceparent",
    [
        "",
        "what a person typed",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-01-more",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-{SPAN}-1",
        f" 00-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01\n",
    ],
)
def test_anything_else_is_ignored(traceparent: str) -> None:
    assert parse_trace_context(traceparent) is None


def test_a_tracestate_that_is_too_long_is_dropped() -> None:
    parsed = parse_trace_context(f"00-{TRACE}-{SPAN}-01", "a=" + "b" * 600)
    assert parsed is not None
    assert parsed.tracestate == ""

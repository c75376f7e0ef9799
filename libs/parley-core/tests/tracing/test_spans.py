"""Spans nest, follow the decision of the trace's begin, and record no text."""

import asyncio
from collections.abc import Iterator

import pytest
from opentelemetry.trace import SpanKind

from parley_core.http.errors import Conflict
from parley_core.tracing.spans import (
    NO_SPAN,
    batch_span,
    continued_trace,
    current_traceparent,
    finish_tracing,
    new_trace,
    server_attributes,
    span,
    trace_headers,
    trace_ids,
)
from parley_core.tracing.trace_context import TraceContext, parse_trace_context
from parley_testing.recorded_spans import (
    RecordedSpans,
    ids_of,
    recorded_spans,
    traceparent_of,
)

SECRET = "what-a-person-typed"
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED, UNSAMPLED = f"00-{TRACE}-{SPAN}-01", f"00-{TRACE}-{SPAN}-00"
OTHER_TRACE = f"00-{'1' * 32}-{SPAN}-01"


@pytest.fixture
def spans() -> Iterator[RecordedSpans]:
    with recorded_spans() as recorded:
        yield recorded


def caller(traceparent: str = SAMPLED, tracestate: str = "") -> TraceContext:
    parsed = parse_trace_context(traceparent, tracestate)
    assert parsed is not None
    return parsed


def test_without_a_tracer_nothing_is_recorded_or_carried() -> None:
    with new_trace("GET", "server") as root, span("part") as part:
        assert root is part is NO_SPAN
        assert current_traceparent() is None
        assert trace_ids() == trace_headers() == {}


def test_a_span_is_a_part_of_the_current_one(spans: RecordedSpans) -> None:
    with new_trace("GET", "server"), span("part", "client", {"http.route": "/x"}):
        assert trace_ids()["trace_id"] in trace_headers()["traceparent"]
        inner = current_traceparent()
    part, root = spans.all
    assert (part.name, part.kind, part.attributes) == (
        "part",
        SpanKind.CLIENT,
        {"http.route": "/x"},
    )
    assert part.parent == root.get_span_context()
    assert inner == traceparent_of(part)
    assert current_traceparent() is None


async def test_tasks_continue_the_span_in_which_they_were_created(spans: RecordedSpans) -> None:
    async def work() -> None:
        await asyncio.sleep(0)
        with span("work"):
            pass

    with new_trace("GET", "server"):
        task = asyncio.create_task(work())
    await task
    assert spans.named("work").parent == spans.named("GET").get_span_context()


def test_no_span_is_recorded_outside_of_a_trace(spans: RecordedSpans) -> None:
    with span("alone"), continued_trace("nothing", "server", None):
        assert current_traceparent() is None
    assert not spans.all


def test_a_caller_is_continued_with_its_tracestate(spans: RecordedSpans) -> None:
    with continued_trace("POST", "server", caller(tracestate="vendor=1")):
        assert trace_headers()["tracestate"] == "vendor=1"
        assert trace_ids()["trace_id"] == TRACE
    [recorded] = spans.all
    assert recorded.parent is not None
    assert f"{recorded.parent.span_id:016x}" == SPAN


def test_a_trace_that_is_not_sampled_is_carried_on_and_not_recorded(spans: RecordedSpans) -> None:
    with continued_trace("POST", "server", caller(UNSAMPLED)), span("part"):
        assert current_traceparent() == UNSAMPLED
        assert trace_ids() == {"trace_id": TRACE, "span_id": SPAN}
    assert not spans.all


def test_a_share_of_the_new_traces_is_sampled() -> None:
    with recorded_spans(0.0) as none:
        with new_trace("GET", "server") as root, span("part"):
            assert not root.recording
            assert str(current_traceparent())[-1] in "02"
        with continued_trace("POST", "server", caller()):
            pass
        assert none.names == ["POST"]


def test_a_new_trace_is_linked_to_an_untrusted_caller_and_does_not_follow_its_decision() -> None:
    with recorded_spans(0.0) as none:
        with new_trace("GET", "server", caller()):
            assert TRACE not in str(current_traceparent())
        assert not none.all
    with recorded_spans() as spans:
        with new_trace("GET", "server", caller()):
            pass
        [link] = spans.named("GET").links
        assert f"{link.context.trace_id:032x}" == TRACE


@pytest.mark.parametrize(
    ("error", "expected"),
    [(Conflict(SECRET, code="turn_open"), "turn_open"), (KeyError(SECRET), "KeyError")],
)
def test_an_exception_is_recorded_by_its_code_or_class(
    spans: RecordedSpans, error: Exception, expected: str
) -> None:
    with pytest.raises(type(error)), new_trace("GET", "server"):
        raise error
    [failed] = spans.all
    assert failed.attributes == {"error.type": expected}
    assert not failed.status.is_ok
    assert not failed.events
    assert SECRET not in failed.to_json()


async def test_a_cancelled_span_has_not_failed(spans: RecordedSpans) -> None:
    with pytest.raises(asyncio.CancelledError), new_trace("GET", "server"):
        raise asyncio.CancelledError
    assert not spans.named("GET").attributes


def test_an_ignored_exception_does_not_fail_its_span(spans: RecordedSpans) -> None:
    with pytest.raises(KeyError), new_trace("GET", "server"), span("part", ignored=(KeyError,)):
        raise KeyError(SECRET)
    assert not spans.named("part").attributes
    assert spans.named("GET").attributes == {"error.type": "KeyError"}


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://[::1]:8081/v1", {"server.address": "::1", "server.port": 8081}),
        ("https://models.example/v1", {"server.address": "models.example"}),
    ],
)
def test_a_called_server_is_its_address_and_the_port_of_its_url(
    url: str, expected: dict[str, str | int]
) -> None:
    assert server_attributes(url) == expected


def batch(creators: list[str | None]) -> None:
    with batch_span("process", "log", len(creators), creators):
        pass


def test_a_batch_of_one_trace_is_a_part_of_it(spans: RecordedSpans) -> None:
    second = f"00-{TRACE}-{'2' * 16}-01"
    batch([SAMPLED, SAMPLED, None, "garbage", UNSAMPLED.replace(TRACE, "3" * 32), second])
    [recorded] = spans.all
    assert (recorded.name, recorded.kind) == ("process log", SpanKind.CONSUMER)
    assert recorded.attributes == {
        "messaging.system": "kafka",
        "messaging.operation.type": "process",
        "messaging.operation.name": "process",
        "messaging.destination.name": "log",
        "messaging.batch.message_count": 6,
    }
    assert ids_of(recorded)[0] == TRACE
    assert [f"{each.context.span_id:016x}" for each in recorded.links] == [SPAN, "2" * 16]


def test_a_batch_of_several_traces_is_sampled_as_they_are_and_linked_to_each() -> None:
    with recorded_spans(0.0) as spans:
        batch([SAMPLED, OTHER_TRACE])
        [recorded] = spans.all
        assert recorded.parent is None
        linked = {f"{each.context.trace_id:032x}" for each in recorded.links}
        assert linked == {TRACE, "1" * 32}


def test_a_batch_without_a_sampled_creator_is_not_recorded(spans: RecordedSpans) -> None:
    batch([None, UNSAMPLED])
    assert not spans.all


def test_a_batch_has_at_most_128_links(spans: RecordedSpans) -> None:
    batch([f"00-{TRACE}-{number:016x}-01" for number in range(1, 500)])
    assert len(spans.all[0].links) == 128


def test_nothing_is_recorded_after_the_end(spans: RecordedSpans) -> None:
    with new_trace("GET", "server"):
        finish_tracing()
        with span("late"):
            pass
    assert "late" not in spans.names

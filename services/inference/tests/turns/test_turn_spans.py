"""Spans of a turn and of the model's calls: by the GenAI conventions, and without any text."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from inference_fakes.completions import BODY
from inference_fakes.inference import Inference, Start
from inference_fakes.model_server import DONE, ErrorStatus, ModelServer, chunk, event, reply
from opentelemetry.sdk.trace import ReadableSpan

from parley_inference.completions import streamed_completion
from parley_testing.eventually import eventually
from parley_testing.recorded_spans import RecordedSpans, ids_of, recorded_spans
from parley_testing.session_service import FakeSessionService
from parley_testing.stored_turn import StoredTurn

SECRET = "what-a-person-typed"
TRACE = "0af7651916cd43dd8448eb211c80319c"
REQUEST = "POST /turns/{turn_id:uuid}/stream"
TRACEPARENT = f"00-{TRACE}-b7ad6b7169203331-01"


@pytest.fixture(autouse=True)
def spans() -> Iterator[RecordedSpans]:
    with recorded_spans() as recorded:
        yield recorded


async def run(inference: Inference, turn: StoredTurn, spans: RecordedSpans) -> None:
    async with inference.stream(turn, traceparent=TRACEPARENT) as stream:
        await stream.events()
    await eventually(lambda: {"turn", REQUEST} <= {*spans.names})


def attributes_of(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


async def test_a_turn_and_its_call_are_parts_of_the_request(
    inference: Inference,
    model_server: ModelServer,
    session: FakeSessionService,
    spans: RecordedSpans,
) -> None:
    turn = session.open_turn(SECRET)
    choice = {"index": 0, "delta": {"content": SECRET}, "finish_reason": "length"}
    first = event({"model": "demo-0914", "choices": [choice]})
    counts = {"prompt_tokens": 11, "completion_tokens": 13}
    model_server.script(first, event({"choices": [], "usage": counts}), DONE)
    await run(inference, turn, spans)

    turn_span, chat = spans.named("turn"), spans.named("chat demo")
    request = spans.named(REQUEST)
    assert turn_span.parent == request.get_span_context()
    assert chat.parent == turn_span.get_span_context()
    assert {ids_of(each)[0] for each in spans.all} == {TRACE}
    assert attributes_of(turn_span) == {
        "gen_ai.conversation.id": str(turn.session_id),
        "parley.turn_id": str(turn.id),
        "parley.turn_status": "completed",
    }
    address = model_server.url.removeprefix("http://").partition("/")[0]
    attributes = attributes_of(chat)
    assert attributes.pop("gen_ai.response.time_to_first_chunk") > 0
    assert attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "demo",
        "gen_ai.response.model": "demo-0914",
        "gen_ai.response.finish_reasons": ("length",),
        "gen_ai.usage.input_tokens": 11,
        "gen_ai.usage.output_tokens": 13,
        "gen_ai.conversation.id": str(turn.session_id),
        "parley.model": "demo",
        "server.address": address.partition(":")[0],
        "server.port": int(address.partition(":")[2]),
    }
    assert SECRET not in "".join(each.to_json() for each in spans.all)


async def test_a_call_that_fails_is_one_span_with_its_retries_and_its_code(
    start: Start,
    model_server: ModelServer,
    session: FakeSessionService,
    spans: RecordedSpans,
) -> None:
    inference = await start(upstream={"max_attempts": 2})
    body = f'{{"error": {{"message": "{SECRET}", "code": "{SECRET}"}}}}'
    for _ in range(2):
        model_server.script(ErrorStatus(500, body))
    await run(inference, session.open_turn(), spans)
    assert len(model_server.requests) == 2
    for span in (spans.named("chat demo"), spans.named("turn")):
        assert attributes_of(span)["error.type"] == "upstream_unavailable"
        assert span.status.status_code.name == "ERROR"
    assert SECRET not in "".join(each.to_json() for each in spans.all)


async def test_a_client_that_disconnects_has_not_failed_the_call(
    inference: Inference,
    model_server: ModelServer,
    spans: RecordedSpans,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(streamed_completion, "CLIENT_TIMEOUT_SECONDS", 0.3)
    model_server.script(*[chunk("x" * 100_000)] * 200, DONE)
    body = BODY | {"stream": True}
    request = inference.request("POST", "/completions", body=body, traceparent=TRACEPARENT)
    async with request:
        await eventually(lambda: "chat demo" in spans.names)
    chat = spans.named("chat demo")
    assert "error.type" not in attributes_of(chat)
    assert chat.status.status_code.name == "UNSET"


async def test_a_turn_outside_of_a_trace_has_no_span(
    inference: Inference,
    model_server: ModelServer,
    session: FakeSessionService,
    spans: RecordedSpans,
) -> None:
    model_server.script(*reply("Hi."))
    await inference.events(session.open_turn())
    assert not spans.all


@pytest.mark.parametrize("stream", [False, True])
async def test_a_completion_without_a_session_is_traced_until_its_usage_is_recorded(
    inference: Inference,
    model_server: ModelServer,
    session: FakeSessionService,
    spans: RecordedSpans,
    stream: bool,
) -> None:
    counts = {"prompt_tokens": 11, "completion_tokens": 13}
    content = {"index": 0, "finish_reason": "length"}
    if stream:
        delta = {"delta": {"content": SECRET}}
        chunk = {"model": "demo-0914", "choices": [content | delta], "usage": counts}
        model_server.script(event(chunk), DONE)
    else:
        message = {"message": {"role": "assistant", "content": SECRET}}
        whole = {"model": "demo-0914", "choices": [content | message], "usage": counts}
        model_server.script(json.dumps(whole).encode())
    body = BODY | {"stream": stream}
    request = inference.request("POST", "/completions", body=body, traceparent=TRACEPARENT)
    async with request as response:
        assert SECRET in await response.text()
    await eventually(lambda: "report usage" in spans.names)

    chat, reported = attributes_of(spans.named("chat demo")), spans.named("report usage")
    assert chat["gen_ai.response.model"] == "demo-0914"
    assert chat["gen_ai.response.finish_reasons"] == ("length",)
    assert (chat["gen_ai.usage.input_tokens"], chat["gen_ai.usage.output_tokens"]) == (11, 13)
    assert ids_of(reported)[0] == TRACE
    assert SECRET not in "".join(each.to_json() for each in spans.all)

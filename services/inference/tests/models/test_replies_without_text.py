"""Replies without text: refusals, reasoning, tool calls, and empty ones."""

import pytest
from inference_fakes.inference import Inference
from inference_fakes.model_server import DONE, ModelServer, Step, chunk, event, usage

from parley_testing.event_stream import text_of
from parley_testing.session_service import FakeSessionService


def delta(**fields: object) -> bytes:
    return event({"choices": [{"index": 0, "delta": fields, "finish_reason": None}]})


STOP = chunk(None, "stop")
CALL = delta(tool_calls=[{"index": 0, "function": {"name": "f", "arguments": "{}"}}])


@pytest.mark.parametrize(
    ("steps", "code"),
    [
        ([DONE], "upstream_empty"),
        ([chunk(""), STOP, DONE], "upstream_empty"),
        ([delta(reasoning_content="Hm."), STOP, DONE], "upstream_empty"),
        ([chunk(None, "length"), DONE], "upstream_empty"),
        ([CALL, chunk(None, "tool_calls"), DONE], "upstream_tool_calls"),
        ([chunk(None, "content_filter"), DONE], "upstream_filtered"),
    ],
)
async def test_a_reply_without_text_fails_and_keeps_its_usage(
    inference: Inference,
    model_server: ModelServer,
    session: FakeSessionService,
    steps: list[Step],
    code: str,
) -> None:
    model_server.script(*steps[:-1], usage(5, 3), DONE)
    [last] = await inference.events(session.open_turn())
    assert (last["type"], last["error"]["code"]) == ("reply.failed", code)
    [body] = session.called("fail")
    assert body["usage"] == {"prompt_tokens": 5, "completion_tokens": 3}


async def test_a_refusal_is_text_with_a_finish_reason_of_its_own(
    inference: Inference, model_server: ModelServer, session: FakeSessionService
) -> None:
    model_server.script(delta(refusal="I can"), delta(refusal="not."), STOP, DONE)
    *deltas, last = await inference.events(session.open_turn())
    assert (text_of(deltas), last["type"]) == ("I cannot.", "reply.completed")
    [body] = session.called("complete")
    assert (body["content"], body["finish_reason"]) == ("I cannot.", "refusal")


async def test_text_with_a_tool_call_is_a_reply(
    inference: Inference, model_server: ModelServer, session: FakeSessionService
) -> None:
    model_server.script(chunk("Hello"), CALL, chunk(None, "tool_calls"), DONE)
    *deltas, last = await inference.events(session.open_turn())
    assert (text_of(deltas), last["type"]) == ("Hello", "reply.completed")

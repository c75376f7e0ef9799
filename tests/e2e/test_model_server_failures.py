"""Model server failures: errors, stalls, invalid data, broken connections."""

from uuid import uuid4

import pytest
from e2e_support.model_server import (
    REFUSAL,
    TOKEN,
    UPSTREAM_ERROR_TEXT,
    USAGE,
    ModelServer,
)
from e2e_support.user import User

pytestmark = pytest.mark.asyncio(loop_scope="session")

# The model server's directive, the resulting error code, the number of tokens before the failure.
FAILURES = [
    ("refuse 400", "upstream_refused", 0),
    ("refuse 401", "upstream_unauthorized", 0),
    ("refuse 404", "upstream_not_found", 0),
    ("overflow 400", "context_length_exceeded", 0),
    ("refuse 429", "upstream_rate_limited", 0),
    ("refuse 500", "upstream_unavailable", 0),
    ("stall 0", "upstream_timeout", 0),
    ("stall 2", "upstream_timeout", 2),
    ("garbage 0", "upstream_garbage", 0),
    ("garbage 2", "upstream_garbage", 2),
    ("die 0", "upstream_unavailable", 0),
    ("die 2", "upstream_broken", 2),
    ("reasoning 1", "upstream_empty", 0),
    ("done 0", "upstream_empty", 0),
    ("tool 1", "upstream_tool_calls", 0),
]


@pytest.mark.parametrize(("failure", "code", "tokens"), FAILURES)
async def test_a_model_server_failure_fails_the_reply_and_keeps_its_partial_text(
    ada: User, failure: str, code: str, tokens: int
) -> None:
    session = await ada.start_session()
    async with ada.stream(session, f"[{failure}] please") as turn:
        started, *_, end = await turn.events()

    assert end["type"] == "reply.failed"
    assert end["id"] == "end"
    assert end["error"]["code"] == code
    assert set(end["error"]) == {"message", "type", "param", "code"}
    assert UPSTREAM_ERROR_TEXT not in str(end)
    assert end["message"]["status"] == "failed"
    assert end["message"]["content"] == tokens * TOKEN
    assert end["sequence_number"] == tokens * len(TOKEN)

    next_turn = await ada.send(session, "And now?")
    assert next_turn["reply"]["content"] == "Answer to: And now?"
    messages = await ada.messages(session, next_turn["version"])
    assert [message["status"] for message in messages] == ["completed", "failed"] + [
        "completed"
    ] * 2
    assert messages[0]["id"] == started["message_id"]
    assert messages[1] == end["message"]


async def test_a_failed_turn_reports_its_error_without_streaming(ada: User) -> None:
    session = await ada.start_session()
    turn = await ada.send(session, "[refuse 401]")
    assert turn["status"] == "failed"
    assert turn["error"]["code"] == "upstream_unauthorized"
    assert turn["reply"]["status"] == "failed"
    assert turn["reply"]["content"] == ""


async def test_a_transient_failure_before_the_first_token_is_retried(
    ada: User, model_server: ModelServer
) -> None:
    session = await ada.start_session()
    turn = await ada.send(session, text := f"[refuse-once 503] {uuid4()}")
    assert turn["reply"]["content"] == f"Answer to: {text}"
    assert len(model_server.prompts_with(text)) == 2


async def test_a_refusal_is_the_text_of_the_reply(ada: User, model_server: ModelServer) -> None:
    session = await ada.start_session()
    turn = await ada.send(session, "[refusal 1]")
    assert (turn["status"], turn["reply"]["content"]) == ("completed", REFUSAL)
    assert turn["reply"]["finish_reason"] == "refusal"
    await ada.send(session, question := f"Why not? {session}")
    [prompt] = model_server.prompts_with(question)
    assert {"role": "assistant", "content": REFUSAL} in prompt
    assert (await ada.messages(session, turn["version"]))[1] == turn["reply"]


async def test_a_reply_without_text_reaches_no_prompt_and_keeps_its_usage(
    ada: User, model_server: ModelServer
) -> None:
    session = await ada.start_session()
    turn = await ada.send(session, "[reasoning 1]")
    assert turn["reply"]["usage"] == {**USAGE, "estimated": False}
    await ada.send(session, question := f"And now? {session}")
    [prompt] = model_server.prompts_with(question)
    assert "assistant" not in {message["role"] for message in prompt}


@pytest.mark.parametrize("count", [2**31, 2**53, 2**63, 10**30])
async def test_implausible_token_counts_are_replaced_by_an_estimate(ada: User, count: int) -> None:
    session = await ada.start_session()
    turn = await ada.send(session, f"[usage {count}]")
    usage = turn["reply"]["usage"]
    assert usage["estimated"]
    assert 0 < usage["total_tokens"] < 1_000
    assert (await ada.messages(session, turn["version"]))[1]["usage"] == usage
    total = (await ada.get("/usage", session_id=session))["total"]
    assert total["total_tokens"] == usage["total_tokens"]


async def test_the_largest_token_counts_are_projected(ada: User) -> None:
    session = await ada.start_session()
    largest = 2**31 - 1
    turn = await ada.send(session, f"[usage {largest}]")
    messages = await ada.messages(session, turn["version"])
    assert messages[1]["usage"]["total_tokens"] == 2 * largest
    total = (await ada.get("/usage", session_id=session))["total"]
    assert total["total_tokens"] == 2 * largest

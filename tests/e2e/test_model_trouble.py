"""A model server that refuses, stalls, babbles or dies: the turn ends, and the chat goes on."""

from uuid import uuid4

import pytest
from stack.model_server import TOKEN, UPSTREAM_SECRET, ModelServer
from stack.person import Person

pytestmark = pytest.mark.asyncio(loop_scope="session")

# What the model server does, the failure's code, and how many tokens came before it.
TROUBLES = [
    ("refuse 400", "upstream_refused", 0),
    ("refuse 401", "upstream_refused", 0),
    ("refuse 429", "upstream_rate_limited", 0),
    ("refuse 500", "upstream_unavailable", 0),
    ("stall 0", "upstream_timeout", 0),
    ("stall 2", "upstream_timeout", 2),
    ("garbage 0", "upstream_garbage", 0),
    ("garbage 2", "upstream_garbage", 2),
    ("die 0", "upstream_unavailable", 0),
    ("die 2", "upstream_broken", 2),
]


@pytest.mark.parametrize(("trouble", "code", "tokens"), TROUBLES)
async def test_trouble_fails_the_reply_and_keeps_what_came(
    ada: Person, trouble: str, code: str, tokens: int
) -> None:
    session = await ada.start_session()
    async with ada.stream(session, f"[{trouble}] please") as turn:
        started, *_, end = await turn.events()

    assert end["type"] == "reply.failed"
    assert end["id"] == "end"
    assert end["error"]["code"] == code
    assert set(end["error"]) == {"message", "type", "param", "code"}
    assert UPSTREAM_SECRET not in str(end)
    assert end["message"]["status"] == "failed"
    assert end["message"]["content"] == tokens * TOKEN
    assert end["sequence_number"] == tokens * len(TOKEN)

    next_turn = await ada.ask(session, "And now?")
    assert next_turn["reply"]["content"] == "Answer to: And now?"
    messages = await ada.messages(session, next_turn["version"])
    assert [message["status"] for message in messages] == ["completed", "failed"] + [
        "completed"
    ] * 2
    assert messages[0]["id"] == started["message_id"]
    assert messages[1] == end["message"]


async def test_without_a_stream_a_failed_turn_says_why(ada: Person) -> None:
    session = await ada.start_session()
    turn = await ada.ask(session, "[refuse 401]")
    assert turn["status"] == "failed"
    assert turn["error"]["code"] == "upstream_refused"
    assert turn["reply"]["status"] == "failed"
    assert turn["reply"]["content"] == ""


async def test_trouble_that_passes_before_the_first_token_is_not_seen(
    ada: Person, model_server: ModelServer
) -> None:
    session = await ada.start_session()
    turn = await ada.ask(session, text := f"[refuse-once 503] {uuid4()}")
    assert turn["reply"]["content"] == f"Answer to: {text}"
    assert len(model_server.asked_with(text)) == 2

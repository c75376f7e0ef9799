"""A turn from the submitted message to the reply in history."""

from datetime import datetime
from uuid import uuid4

import pytest
from e2e_support.model_server import MODEL, TOKEN, ModelServer
from e2e_support.user import User

from parley_testing.event_stream import text_of

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_reply_is_streamed_and_then_in_history(ada: User) -> None:
    session = await ada.start_session()
    async with ada.stream(session, "Hello there") as turn:
        started = await turn.started()
        *deltas, end = await turn.events()

    assert started["id"] == "0"
    assert started["sequence_number"] == 0
    assert started["session_id"] == session
    assert text_of(deltas) == "Answer to: Hello there"
    assert {event["type"] for event in deltas} == {"reply.delta"}
    assert end["type"] == "reply.completed"
    assert end["id"] == "end"
    assert end["turn_id"] == started["turn_id"]
    assert end["message"]["content"] == text_of(deltas)
    assert end["usage"]["total_tokens"] == 18

    question, answer = await ada.messages(session, end["version"])
    assert (question["id"], question["role"]) == (started["message_id"], "user")
    assert question["content"] == "Hello there"
    assert (answer["id"], answer["role"]) == (started["reply_id"], "assistant")
    assert answer == end["message"]
    assert (answer["status"], answer["finish_reason"]) == ("completed", "stop")
    assert answer["model"] == MODEL
    assert question["turn_id"] == answer["turn_id"] == started["turn_id"]
    assert (question["version"], answer["version"]) == (2, end["version"])
    assert _time(question["created_at"]) < _time(answer["created_at"])


async def test_event_ids_of_a_stream_count_code_points(ada: User) -> None:
    session = await ada.start_session()
    async with ada.stream(session, "[tokens 30]") as turn:
        events = await turn.events()

    offset = 0
    for event in events[1:-1]:
        offset += len(event["delta"])
        assert event["sequence_number"] == offset
        assert event["id"] == str(offset)
    assert events[-1]["sequence_number"] == offset == 30 * len(TOKEN)


async def test_a_stream_has_headers_that_prevent_buffering_and_caching(ada: User) -> None:
    session = await ada.start_session()
    async with ada.stream(session, "Hello") as turn:
        headers = turn.response.headers
        await turn.events()
    assert headers["content-type"] == "text/event-stream; charset=utf-8"
    assert headers["cache-control"] == "no-store"
    assert headers["x-accel-buffering"] == "no"
    assert headers["x-request-id"]


async def test_tokens_arrive_before_the_model_has_finished(
    ada: User, model_server: ModelServer
) -> None:
    session = await ada.start_session()
    async with ada.stream(session, text := f"[gate 3] {uuid4()}") as turn:
        # The model continues only once these tokens have arrived: a held-back stream would hang.
        assert await turn.until_text(3 * len(TOKEN)) == 3 * TOKEN
        model_server.open_gate(text)
        *_, end = await turn.events()
    assert end["message"]["content"] == 6 * TOKEN


async def test_without_streaming_the_ended_turn_is_returned_as_json(ada: User) -> None:
    session = await ada.start_session()
    turn = await ada.send(session, "Hello there")
    assert turn["object"] == "turn"
    assert turn["session_id"] == session
    assert turn["status"] == "completed"
    assert turn["message"]["content"] == "Hello there"
    assert turn["reply"]["content"] == "Answer to: Hello there"
    assert await ada.messages(session, turn["version"]) == [turn["message"], turn["reply"]]


async def test_a_body_is_accepted_with_the_content_type_that_curl_sends(ada: User) -> None:
    as_curl = {"content-type": "application/x-www-form-urlencoded"}
    started = await ada.request("POST", "/sessions", content=b"{}", headers=as_curl)
    assert started.status_code == 201
    path = f"/sessions/{started.json()['id']}/messages"
    turn = await ada.request("POST", path, content=b'{"content": "Hi"}', headers=as_curl)
    assert turn.json()["reply"]["content"] == "Answer to: Hi"


async def test_a_session_has_the_attributes_it_was_started_with(ada: User) -> None:
    session_id = str(uuid4())
    body = {"id": session_id, "assistant_id": "coder", "title": "A bug", "metadata": {"k": "v"}}
    started = await ada.post("/sessions", body)
    assert started == await ada.get(f"/sessions/{session_id}")
    assert {name: started[name] for name in body} == body
    assert started["object"] == "session"
    assert started["version"] == 1
    assert _time(started["created_at"]) <= _time(started["updated_at"])


def _time(text: str) -> datetime:
    assert text.endswith("Z")
    return datetime.fromisoformat(text)

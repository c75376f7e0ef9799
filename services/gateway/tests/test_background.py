"""A turn in the background: answered at once, run by inference without a client, read later."""

import asyncio

import pytest
from gateway_peers.gateway import SESSION_ID, another_id
from gateway_peers.inference import Stalls, deltas

from parley_contracts import turn_sse as sse
from parley_testing.eventually import eventually

PATH = f"/v1/sessions/{SESSION_ID}/messages"
BACKGROUND = {"content": "Hi", "background": True}


async def test_the_turn_is_answered_while_it_runs_and_read_when_it_has_ended(
    gateway, session, inference
):
    inference.script(deltas("Hel"), Stalls())
    status, turn = await gateway.post(PATH, BACKGROUND)
    assert (status, turn["status"], turn["reply"]) == (202, "running", None)
    assert turn["message"]["content"] == "Hi"
    # Inference has it: nobody else needs to see to it.
    await eventually(lambda: inference.places == [0])
    assert await gateway.get(f"/v1/turns/{turn['id']}") == (200, turn)
    session.end("Hello")
    status, ended = await gateway.get(f"/v1/turns/{turn['id']}")
    assert (status, ended["status"], ended["reply"]["content"]) == (200, "completed", "Hello")


async def test_the_same_request_again_answers_the_turn_as_it_is_now(gateway, session, inference):
    inference.script(Stalls())
    inference.script(Stalls())
    _, first = await gateway.post(PATH, BACKGROUND, idempotency_key="k")
    assert await gateway.post(PATH, BACKGROUND, idempotency_key="k") == (202, first)
    session.end("Hello")
    status, ended = await gateway.post(PATH, BACKGROUND, idempotency_key="k")
    assert (status, ended["status"]) == (200, "completed")
    assert len(session.turns) == 1


async def test_a_client_that_waits_for_it_after_all_gets_the_reply(gateway, session, inference):
    inference.script(Stalls())
    await gateway.post(PATH, BACKGROUND, idempotency_key="k")
    inference.script(lambda: sse.ended(session.end("Hello")))
    status, turn = await gateway.submit("Hi", idempotency_key="k")
    assert (status, turn["reply"]["content"]) == (200, "Hello")


async def test_when_inference_is_away_the_turn_is_answered_all_the_same(
    gateway, session, inference
):
    inference.away = True
    async with asyncio.timeout(5):
        status, turn = await gateway.post(PATH, BACKGROUND)
    assert (status, turn["status"]) == (202, "running")
    assert len(session.turns) == 1


async def test_a_stream_in_the_background_is_refused_before_anything_is_done(gateway, session):
    body = {**BACKGROUND, "stream": True}
    refused = await gateway.refusal("POST", PATH, body=body)
    assert refused == (400, "invalid_request", "background")
    assert not session.calls


@pytest.mark.parametrize(
    ("turn", "refused"),
    [("x", (400, "invalid_request", "turn_id")), (another_id(), (404, "turn_not_found", "p"))],
)
async def test_a_turn_that_nobody_knows_is_refused(gateway, turn, refused):
    assert await gateway.refusal("GET", f"/v1/turns/{turn}") == refused

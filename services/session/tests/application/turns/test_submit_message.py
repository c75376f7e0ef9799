"""Submitting messages, over HTTP: idempotency, limits, one open turn."""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from session_support.client import ADA, EVE, OTHER_ADA, ApiResponse
from session_support.service import Service

from parley_contracts.api_models import Turn
from parley_contracts.session_api.limits import MAX_MESSAGE_BYTES
from parley_core.storage.postgres_pool import Pool


@pytest.fixture
async def session_id(session: Service) -> str:
    return str((await session.start())["id"])


async def submit(
    session: Service, session_id: str, content: str = "hello", **more: Any
) -> ApiResponse:
    return await session.call(
        "POST", f"/sessions/{session_id}/messages", {"content": content}, **more
    )


async def messages_stored(pool: Pool) -> int:
    count = "SELECT count(*) FROM events WHERE type LIKE '%message_submitted%'"
    return int(await pool.fetchval(count))


async def test_a_message_is_committed_and_its_turn_is_open(
    session: Service, session_id: str
) -> None:
    response = await submit(session, session_id, "Größe? 🎈\x00")
    assert response.status == 201
    turn = Turn.model_validate(response.body, strict=False)
    assert (turn.status, turn.reply, turn.error, turn.version) == ("running", None, None, 3)
    message = turn.message
    assert (message.role, message.content, message.version) == ("user", "Größe? 🎈\x00", 2)
    assert (message.turn_id, message.session_id) == (turn.id, UUID(session_id))
    assert (await session.call("GET", f"/turns/{turn.id}")).body == response.body


async def test_a_second_message_is_rejected_while_the_turn_is_open(
    session: Service, session_id: str, pool: Pool
) -> None:
    turn = (await submit(session, session_id)).body
    rejected = await submit(session, session_id, "again")
    assert rejected.error == (409, "turn_open", None)
    assert rejected.headers["x-should-retry"] == "false"
    assert turn["id"] in rejected.body["error"]["message"]
    assert await messages_stored(pool) == 1
    runner = str(uuid4())
    await session.claim(turn["id"], runner)
    await session.complete(turn["id"], runner)
    assert (await submit(session, session_id, "again")).status == 201


@pytest.mark.parametrize("who", [EVE, OTHER_ADA])
async def test_a_message_to_a_session_of_somebody_else_is_rejected(
    session: Service, session_id: str, who: Any, pool: Pool
) -> None:
    forbidden = await submit(session, session_id, who=who)
    unknown = await submit(session, str(uuid4()), who=who)
    assert forbidden.error == unknown.error == (404, "session_not_found", None)
    assert forbidden.body == unknown.body
    assert await messages_stored(pool) == 0


@pytest.mark.parametrize("who", [EVE, OTHER_ADA])
async def test_a_turn_of_somebody_else_looks_like_an_unknown_one(
    session: Service, session_id: str, who: Any
) -> None:
    turn_id = (await submit(session, session_id)).body["id"]
    claim = {"runner": str(uuid4())}
    for method, suffix, body, issuer in (
        ("GET", "", None, "gateway"),
        ("POST", "/claim", claim, "inference"),
    ):
        asked = {"who": who, "issuer": issuer}
        forbidden = await session.call(method, f"/turns/{turn_id}{suffix}", body, **asked)
        unknown = await session.call(method, f"/turns/{uuid4()}{suffix}", body, **asked)
        assert forbidden.error == unknown.error == (404, "turn_not_found", None)
        assert forbidden.body == unknown.body
    # The caller has not claimed it.
    assert (await session.claim(turn_id, str(uuid4())))["claimed"]


@pytest.mark.parametrize("content", ["x" * MAX_MESSAGE_BYTES, "é" * (MAX_MESSAGE_BYTES // 2)])
async def test_a_message_of_256_kib_is_accepted(
    session: Service, session_id: str, content: str
) -> None:
    response = await submit(session, session_id, content)
    assert response.status == 201
    assert (await session.turn(response.body["id"]))["message"]["content"] == content


@pytest.mark.parametrize(
    "content",
    [
        "x" * (MAX_MESSAGE_BYTES + 1),
        "x" + "é" * (MAX_MESSAGE_BYTES // 2),
        # Within the limit, but each character has six bytes as JSON: too large for an event.
        "\x01" * MAX_MESSAGE_BYTES,
    ],
)
async def test_a_message_that_is_too_large_stores_nothing(
    session: Service, session_id: str, content: str, pool: Pool
) -> None:
    rejected = await submit(session, session_id, content, key="k1")
    assert rejected.error == (413, "message_too_large", "content")
    assert await messages_stored(pool) == 0
    assert await pool.fetchval("SELECT count(*) FROM turns") == 0
    assert await pool.fetchval("SELECT count(*) FROM remembered_requests") == 0
    # The session accepts messages, and the key is unused.
    assert (await submit(session, session_id, key="k1")).status == 201


async def test_a_body_over_the_limit_is_rejected(
    serve: Callable[..., Any], session_id: str, pool: Pool
) -> None:
    session = await serve(MAX_BODY_BYTES=1024)
    rejected = await submit(session, session_id, "x" * 1024)
    assert rejected.error == (413, "body_too_large", None)
    assert await messages_stored(pool) == 0


async def test_a_message_must_have_text(session: Service, session_id: str) -> None:
    for content in ("", None, 5, ["a"]):
        path = f"/sessions/{session_id}/messages"
        response = await session.call("POST", path, {"content": content})
        assert response.error == (400, "invalid_request", "content")


async def test_an_unpaired_surrogate_is_invalid_json(session: Service, session_id: str) -> None:
    response = await session.call(
        "POST", f"/sessions/{session_id}/messages", b'{"content": "\\ud83c"}'
    )
    assert response.error == (400, "invalid_request", None)


async def test_a_full_session_rejects_messages(serve: Callable[..., Any]) -> None:
    session = await serve(session_max_messages_per_session=2)
    session_id = (await session.start())["id"]
    await session.answered(session_id, "hello", "hi")
    rejected = await submit(session, session_id)
    assert rejected.error == (409, "session_full", None)


async def test_a_repeated_submit_returns_the_current_turn(
    session: Service, session_id: str, pool: Pool
) -> None:
    first = await submit(session, session_id, key="k1")
    repeated = await submit(session, session_id, key="k1")
    assert (first.status, repeated.status) == (201, 200)
    assert repeated.body == first.body
    runner = str(uuid4())
    await session.claim(first.body["id"], runner)
    ended = await session.complete(first.body["id"], runner, content="hi")
    assert (await submit(session, session_id, key="k1")).body == ended.body
    # Also while another turn is open.
    await submit(session, session_id, "next")
    assert (await submit(session, session_id, key="k1")).body == ended.body
    assert await messages_stored(pool) == 2


async def test_a_key_with_another_content_is_rejected(
    session: Service, session_id: str, pool: Pool
) -> None:
    await submit(session, session_id, "a", key="k1")
    rejected = await submit(session, session_id, "b", key="k1")
    assert rejected.error == (422, "idempotency_key_reused", None)
    assert await messages_stored(pool) == 1


async def test_equal_keys_in_two_sessions_are_different_keys(session: Service) -> None:
    turns = [await submit(session, (await session.start())["id"], "a", key="k1") for _ in range(2)]
    assert [turn.status for turn in turns] == [201, 201]
    assert turns[0].body["id"] != turns[1].body["id"]


async def test_concurrent_submits_with_one_key_add_one_message(
    session: Service, session_id: str, pool: Pool
) -> None:
    calls = [submit(session, session_id, key="k1") for _ in range(12)]
    responses = await asyncio.gather(*calls)
    assert sorted(response.status for response in responses) == [200] * 11 + [201]
    assert len({response.body["id"] for response in responses}) == 1
    assert await messages_stored(pool) == 1


async def test_concurrent_submits_without_a_key_open_one_turn(
    session: Service, session_id: str, pool: Pool
) -> None:
    responses = await asyncio.gather(*(submit(session, session_id) for _ in range(12)))
    assert sorted(response.status for response in responses) == [201] + [409] * 11
    assert await messages_stored(pool) == 1


async def test_one_key_in_two_processes_adds_one_message(
    serve: Callable[..., Any], session_id: str, pool: Pool
) -> None:
    processes = [await serve(), await serve()]
    calls = [submit(processes[n % 2], session_id, key="k1") for n in range(12)]
    responses = await asyncio.gather(*calls)
    assert len({response.body["id"] for response in responses}) == 1
    assert await messages_stored(pool) == 1


async def test_a_process_continues_from_the_events_of_another(
    serve: Callable[..., Any], session_id: str
) -> None:
    one, other = await serve(), await serve()
    for number in range(3):
        await one.answered(session_id, f"q{number}", "a")
        await other.answered(session_id, f"r{number}", "a")
    read = await one.call("GET", f"/sessions/{session_id}", who=ADA)
    assert read.body["version"] == 1 + 6 * 3

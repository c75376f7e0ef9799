"""Submitting preceding messages, another model, and retries that attach to a turn."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from session_support.client import EVE, ApiResponse
from session_support.service import Service

from parley_contracts.session_api.limits import MAX_MESSAGE_BYTES
from parley_core.storage.postgres_pool import Pool


@pytest.fixture
async def session_id(session: Service) -> str:
    return str((await session.start())["id"])


async def ask(
    session: Service, session_id: str, content: str = "three", **given: Any
) -> ApiResponse:
    asked: dict[str, Any] = {name: given.pop(name) for name in ("who", "key") if name in given}
    path = f"/sessions/{session_id}/messages"
    return await session.call("POST", path, {"content": content} | given, **asked)


async def end(session: Service, turn: dict[str, Any], **given: Any) -> dict[str, Any]:
    runner = str(uuid4())
    await session.claim(turn["id"], runner)
    return dict((await session.complete(turn["id"], runner, **given)).body)


async def turns_stored(pool: Pool) -> int:
    return int(await pool.fetchval("SELECT count(*) FROM turns"))


async def test_preceding_messages_are_in_the_context_of_the_turn(
    session: Service, session_id: str
) -> None:
    await session.answered(session_id, "zero", "hi")
    response = await ask(session, session_id, preceding=["one", "two"])
    turn = response.body
    assert (response.status, turn["message"]["content"], turn["version"]) == (201, "three", 8)
    run = (await session.claim(turn["id"], str(uuid4())))["run"]
    shown = [(message["role"], message["content"]) for message in run["context"]["messages"]]
    said = [("user", text) for text in ("one", "two", "three")]
    assert shown == [("user", "zero"), ("assistant", "hi"), *said]
    switched = await session.call("POST", "/switch-assistant", {"assistant_id": "helper"})
    turns = [message["turn_id"] for message in switched.body["messages"]]
    assert turns[-3:] == [None, None, turn["id"]]


async def test_the_size_limit_applies_to_each_message_and_the_error_names_it(
    session: Service, session_id: str, pool: Pool
) -> None:
    longest = "x" * MAX_MESSAGE_BYTES
    too_large: list[tuple[dict[str, Any], str]] = [
        ({"preceding": ["a", longest + "x"]}, "preceding.1"),
        ({"preceding": [longest], "content": longest + "x"}, "content"),
    ]
    for asked, param in too_large:
        rejected = await ask(session, session_id, **asked)
        assert rejected.error == (413, "message_too_large", param)
    invalid: list[tuple[dict[str, Any], str]] = [
        ({"preceding": ["a"] * 21}, "preceding"),
        ({"preceding": ["a", ""]}, "preceding.1"),
    ]
    for asked, param in invalid:
        assert (await ask(session, session_id, **asked)).error == (400, "invalid_request", param)
    assert await turns_stored(pool) == 0
    assert (await ask(session, session_id, preceding=[longest, *["a"] * 19])).status == 201


async def test_a_session_needs_capacity_for_all_messages(serve: Any) -> None:
    session = await serve(session_max_messages_per_session=3)
    session_id = (await session.start())["id"]
    rejected = await ask(session, session_id, preceding=["a", "b", "c"])
    assert rejected.error == (409, "session_full", None)
    assert (await ask(session, session_id, preceding=["a", "b"])).status == 201


async def test_a_turn_may_override_the_model_and_be_replied_by_a_fallback(
    session: Service, session_id: str
) -> None:
    turn = (await ask(session, session_id, model="other")).body
    runner = str(uuid4())
    assert (await session.claim(turn["id"], runner))["run"]["model"] == "other"
    ended = await session.complete(turn["id"], runner, model="third")
    assert ended.body["reply"]["model"] == "third"
    assert (await end(session, (await ask(session, session_id)).body))["reply"]["model"] == "demo"


async def test_tokens_of_each_message_are_counted_for_the_model_of_the_turn(
    session: Service, session_id: str, pool: Pool
) -> None:
    await ask(session, session_id, "hello there", preceding=["hello"], model="gpt-4o-mini")
    rows = await pool.fetch("SELECT data->'tokens' AS n FROM events WHERE type LIKE '%submitted%'")
    assert [row["n"] for row in rows] == ["1", "2"]


async def test_attach_is_not_part_of_the_fingerprint(session: Service, session_id: str) -> None:
    asked: dict[str, Any] = {"preceding": ["one"], "model": "other"}
    first = await ask(session, session_id, **asked, key="k1")
    for attach in (False, True):
        repeated = await ask(session, session_id, **asked, attach=attach, key="k1")
        assert (repeated.status, repeated.body) == (200, first.body)
    others: list[dict[str, Any]] = [{"preceding": ["two"]}, {"model": "third"}, {"preceding": []}]
    for other in others:
        rejected = await ask(session, session_id, **asked | other, key="k1")
        assert rejected.error == (422, "idempotency_key_reused", None)


async def test_a_retry_with_attach_returns_the_current_turn(
    session: Service, session_id: str, pool: Pool
) -> None:
    asked: dict[str, Any] = {"preceding": ["one", "two"], "attach": True}
    first = await ask(session, session_id, **asked)
    repeated = await ask(session, session_id, **asked)
    assert (first.status, repeated.status, repeated.body) == (201, 200, first.body)
    ended = await end(session, first.body)
    repeated = await ask(session, session_id, **asked)
    assert (repeated.status, repeated.body) == (200, ended)
    assert await turns_stored(pool) == 1


async def test_other_messages_or_a_retry_without_attach_open_a_turn(
    session: Service, session_id: str, pool: Pool
) -> None:
    await end(session, (await ask(session, session_id, preceding=["one", "two"])).body)
    for asked in (
        {"preceding": ["two"], "attach": True},
        {"preceding": ["zero", "two"], "attach": True},
        {"preceding": ["zero", "zero", "two"], "attach": True},
        {"preceding": ["one", "two"], "content": "four", "attach": True},
        {"preceding": ["one", "two"]},
    ):
        response = await ask(session, session_id, **asked)
        assert response.status == 201
        await end(session, response.body)
    assert await turns_stored(pool) == 6


async def test_fewer_messages_are_not_a_repetition(session: Service, session_id: str) -> None:
    await end(session, (await ask(session, session_id, preceding=["one"])).body)
    assert (await ask(session, session_id, attach=True)).status == 201


async def test_a_regenerated_turn_is_not_attached_to(session: Service, session_id: str) -> None:
    turn = await session.answered(session_id, "three", "hi")
    await session.call("POST", f"/sessions/{session_id}/regenerate", {})
    rejected = await ask(session, session_id, attach=True)
    assert rejected.error == (409, "turn_open", None)
    assert turn["id"] not in rejected.body["error"]["message"]


async def test_parameters_are_those_of_one_turn_and_sealed(
    session: Service, session_id: str, pool: Pool
) -> None:
    parameters = {"temperature": 0.25, "stop": ["the secret word"], "top_k": 40}
    turn = (await ask(session, session_id, parameters=parameters)).body
    run = (await session.claim(turn["id"], str(uuid4())))["run"]
    assert run["parameters"] == parameters
    stored = await pool.fetchval("SELECT string_agg(data::text, '') FROM events")
    assert "parameters" in stored
    assert "secret" not in stored
    assert "temperature" not in stored
    await session.call("POST", f"/turns/{turn['id']}/cancel", {})
    again = (
        await session.call(
            "POST", f"/sessions/{session_id}/regenerate", {"on_open_turn": "interrupt"}
        )
    ).body
    assert (await session.claim(again["id"], str(uuid4())))["run"]["parameters"] == {}


async def test_parameters_are_part_of_the_fingerprint(session: Service, session_id: str) -> None:
    first = await ask(session, session_id, parameters={"a": 1, "b": 2}, key="k1")
    repeated = await ask(session, session_id, parameters={"b": 2, "a": 1}, key="k1")
    assert (repeated.status, repeated.body) == (200, first.body)
    others: list[dict[str, Any]] = [{"parameters": {"a": 1}}, {}]
    for other in others:
        rejected = await ask(session, session_id, **other, key="k1")
        assert rejected.error == (422, "idempotency_key_reused", None)


async def test_a_retry_with_other_parameters_does_not_attach(
    session: Service, session_id: str
) -> None:
    first = await ask(session, session_id, parameters={"seed": 1}, attach=True)
    repeated = await ask(session, session_id, parameters={"seed": 1}, attach=True)
    assert (repeated.status, repeated.body) == (200, first.body)
    others: list[dict[str, Any]] = [{"parameters": {"seed": 2}}, {}]
    for other in others:
        rejected = await ask(session, session_id, **other, attach=True)
        assert rejected.error == (409, "turn_open", None)


async def test_the_size_of_parameters_is_limited(session: Service, session_id: str) -> None:
    rejected = await ask(session, session_id, parameters={"stop": "x" * 16_400})
    assert (rejected.status, rejected.error[2]) == (413, "parameters")
    many = {f"p{number}": 0 for number in range(65)}
    rejected = await ask(session, session_id, parameters=many)
    assert rejected.error == (400, "invalid_request", "parameters")


async def test_a_turn_of_somebody_else_is_not_attached_to(
    session: Service, session_id: str
) -> None:
    await ask(session, session_id, attach=True)
    rejected = await ask(session, session_id, attach=True, who=EVE)
    assert rejected.error == (404, "session_not_found", None)


async def test_concurrent_retries_share_one_turn(serve: Any, session_id: str, pool: Pool) -> None:
    processes = [await serve(), await serve()]
    calls = [ask(processes[n % 2], session_id, preceding=["one"], attach=True) for n in range(8)]
    responses = await asyncio.gather(*calls)
    assert sorted(response.status for response in responses) == [200] * 7 + [201]
    assert len({response.body["id"] for response in responses}) == 1
    assert await turns_stored(pool) == 1

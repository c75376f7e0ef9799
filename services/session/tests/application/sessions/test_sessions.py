"""Starting, reading and switching sessions, over HTTP."""

import asyncio
import base64
from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from session_support.client import ADA, EVE, HISTORY, OTHER_ADA
from session_support.service import Service

from parley_contracts.api_models import SessionShape
from parley_core.storage.postgres_pool import Pool
from parley_testing.eventually import eventually


async def test_a_session_is_started_and_read(session: Service) -> None:
    given = {"assistant_id": "coder", "title": "Größe 🎈", "metadata": {"room": "7"}}
    response = await session.call("POST", "/sessions", given)
    assert response.status == 201
    started = SessionShape.model_validate(response.body, strict=False)
    assert (started.assistant_id, started.title, started.metadata, started.version) == (
        "coder",
        "Größe 🎈",
        {"room": "7"},
        1,
    )
    assert started.created_at == started.updated_at
    read = await session.call("GET", f"/sessions/{started.id}")
    assert (read.status, read.body) == (200, response.body)


@pytest.mark.parametrize("body", [b"", b"{}"])
async def test_everything_about_a_session_is_optional(session: Service, body: bytes) -> None:
    response = await session.call("POST", "/sessions", body)
    assert response.status == 201
    assert (response.body["assistant_id"], response.body["title"], response.body["metadata"]) == (
        "helper",
        None,
        {},
    )


async def test_a_read_returns_the_current_version(session: Service) -> None:
    started = await session.start()
    turn = await session.answered(started["id"], "hello", "hi")
    read = (await session.call("GET", f"/sessions/{started['id']}")).body
    assert (read["version"], turn["version"]) == (4, 4)
    assert datetime.fromisoformat(read["updated_at"]) > datetime.fromisoformat(read["created_at"])
    assert read["created_at"] == started["created_at"]


async def test_a_client_may_choose_the_id(session: Service) -> None:
    chosen = str(uuid4())
    assert (await session.start(id=chosen))["id"] == chosen


@pytest.mark.parametrize("who", [ADA, EVE, OTHER_ADA])
async def test_a_used_id_is_unavailable_to_everyone(session: Service, who: Any) -> None:
    taken = (await session.start())["id"]
    response = await session.call("POST", "/sessions", {"id": taken}, who=who)
    assert response.error == (409, "session_id_unavailable", "id")
    assert response.headers["x-should-retry"] == "false"
    assert (await session.call("GET", f"/sessions/{taken}")).body["version"] == 1


@pytest.mark.parametrize("who", [EVE, OTHER_ADA])
async def test_a_session_of_somebody_else_looks_like_an_unknown_one(
    session: Service, who: Any
) -> None:
    others = (await session.start())["id"]
    forbidden = await session.call("GET", f"/sessions/{others}", who=who)
    unknown = await session.call("GET", f"/sessions/{uuid4()}", who=who)
    assert forbidden.error == unknown.error == (404, "session_not_found", None)
    assert forbidden.body == unknown.body


async def test_a_start_with_an_unknown_assistant_is_rejected(session: Service, pool: Pool) -> None:
    response = await session.call("POST", "/sessions", {"assistant_id": "nobody"})
    assert response.error == (404, "assistant_not_found", "assistant_id")
    response = await session.call("POST", "/switch-assistant", {"assistant_id": "nobody"})
    assert response.error == (404, "assistant_not_found", "assistant_id")
    assert await pool.fetchval("SELECT count(*) FROM sessions") == 0


async def test_a_repeated_start_returns_the_same_session(session: Service, pool: Pool) -> None:
    first = await session.call("POST", "/sessions", {"title": "a"}, key="k1")
    repeated = await session.call(
        "POST", "/sessions", b'{ "title": "\\u0061", "id": null }', key="k1"
    )
    assert (first.status, repeated.status) == (201, 200)
    assert repeated.body == first.body
    assert await pool.fetchval("SELECT count(*) FROM sessions") == 1


async def test_a_key_with_another_body_is_rejected(session: Service, pool: Pool) -> None:
    await session.call("POST", "/sessions", {"title": "a"}, key="k1")
    for body in ({"title": "b"}, {"title": "a", "id": str(uuid4())}, {}):
        response = await session.call("POST", "/sessions", body, key="k1")
        assert response.error == (422, "idempotency_key_reused", None)
    assert await pool.fetchval("SELECT count(*) FROM sessions") == 1


async def test_equal_keys_of_two_people_are_different_keys(session: Service) -> None:
    responses = [
        await session.call("POST", "/sessions", {"title": "a"}, key="k1", who=who)
        for who in (ADA, EVE, OTHER_ADA)
    ]
    assert [response.status for response in responses] == [201, 201, 201]
    assert len({response.body["id"] for response in responses}) == 3


async def test_concurrent_starts_with_one_key_create_one_session(
    session: Service, pool: Pool
) -> None:
    calls = [session.call("POST", "/sessions", {"title": "a"}, key="k1") for _ in range(8)]
    responses = await asyncio.gather(*calls)
    assert sorted(response.status for response in responses) == [200] * 7 + [201]
    assert len({response.body["id"] for response in responses}) == 1
    assert await pool.fetchval("SELECT count(*) FROM sessions") == 1


async def test_a_rejected_start_is_not_recorded(session: Service) -> None:
    taken = (await session.start())["id"]
    await session.call("POST", "/sessions", {"id": taken}, key="k1")
    assert (await session.call("POST", "/sessions", {"title": "a"}, key="k1")).status == 201


async def test_a_key_expires_after_the_configured_hours(
    serve: Callable[..., Any], pool: Pool
) -> None:
    session = await serve()
    await session.call("POST", "/switch-assistant", {"assistant_id": "coder"}, key="old")
    await session.call("POST", "/switch-assistant", {"assistant_id": "tutor"}, key="new")
    await pool.execute(
        """
        UPDATE remembered_requests SET created_at = now() - interval '24 hours 1 second'
        WHERE session_id = (SELECT id FROM sessions WHERE assistant_id = 'coder')
        """
    )

    async def forgotten() -> bool:
        return bool(await pool.fetchval("SELECT count(*) FROM remembered_requests") == 1)

    # A process deletes expired records at startup and every minute.
    await serve()
    await eventually(forgotten)
    tutor = {"assistant_id": "tutor"}
    response = await session.call("POST", "/switch-assistant", tutor, key="old")
    assert response.status == 200


async def test_a_switch_starts_a_session_if_there_is_none(session: Service) -> None:
    await session.start(assistant_id="helper")
    response = await session.call("POST", "/switch-assistant", {"assistant_id": "coder"})
    assert (response.status, response.body["object"]) == (200, "assistant_switch")
    assert (response.body["created"], response.body["messages"]) == (True, [])
    started = response.body["session"]
    assert started["assistant_id"] == "coder"
    assert (await session.call("GET", f"/sessions/{started['id']}")).body == started


async def test_a_switch_returns_the_session_changed_last_and_its_messages(
    session: Service,
) -> None:
    first = await session.start(assistant_id="coder")
    await session.start(assistant_id="coder")
    await session.start(assistant_id="helper")
    await session.call("POST", "/sessions", {"assistant_id": "coder"}, who=EVE)
    turn = await session.answered(first["id"], "hello", "hi")
    response = (await session.call("POST", "/switch-assistant", {"assistant_id": "coder"})).body
    assert (response["created"], response["session"]["id"]) == (False, first["id"])
    assert response["messages"] == [turn["message"], turn["reply"]]


async def test_a_switch_returns_the_last_twenty_messages_oldest_first(session: Service) -> None:
    started = await session.start()
    for number in range(11):
        await session.answered(started["id"], f"q{number}", f"a{number}")
    response = (await session.call("POST", "/switch-assistant", {"assistant_id": "helper"})).body
    shown = [message["content"] for message in response["messages"]]
    assert shown == [text for n in range(1, 11) for text in (f"q{n}", f"a{n}")]


async def test_a_repeated_switch_returns_the_session_that_it_started(session: Service) -> None:
    body = {"assistant_id": "coder"}
    first = (await session.call("POST", "/switch-assistant", body, key="k1")).body
    await session.start(assistant_id="coder")
    repeated = (await session.call("POST", "/switch-assistant", body, key="k1")).body
    assert repeated["session"]["id"] == first["session"]["id"]


@pytest.mark.parametrize("other_exists", [True, False])
async def test_a_switch_with_a_used_key_to_another_assistant_is_rejected(
    session: Service, other_exists: bool
) -> None:
    if other_exists:
        await session.start(assistant_id="tutor")
    await session.call("POST", "/switch-assistant", {"assistant_id": "coder"}, key="k1")
    response = await session.call("POST", "/switch-assistant", {"assistant_id": "tutor"}, key="k1")
    assert response.error == (422, "idempotency_key_reused", None)


async def test_concurrent_switches_with_one_key_start_one_session(
    session: Service, pool: Pool
) -> None:
    body = {"assistant_id": "coder"}
    calls = [session.call("POST", "/switch-assistant", body, key="k1") for _ in range(8)]
    responses = await asyncio.gather(*calls)
    assert {response.status for response in responses} == {200}
    assert len({response.body["session"]["id"] for response in responses}) == 1
    assert await pool.fetchval("SELECT count(*) FROM sessions") == 1


async def test_history_gets_the_keys_of_sessions(session: Service, pool: Pool) -> None:
    known = [(await session.start())["id"] for _ in range(3)]
    # As an erasure leaves it.
    await pool.execute("UPDATE sessions SET wrapped_key = NULL WHERE id = $1", UUID(known[2]))
    asked = {"session_ids": [*known, str(uuid4())]}
    response = await session.call("POST", "/keys", asked, who=HISTORY, issuer="history")
    assert response.status == 200
    keys = response.body["keys"]
    assert set(keys) == set(known)
    assert keys[known[2]] is None
    assert len({keys[known[0]], keys[known[1]]}) == 2
    assert len(base64.b64decode(keys[known[0]])) == 32


async def test_one_call_returns_at_most_a_hundred_keys(session: Service) -> None:
    for number, status in ((100, 200), (101, 400)):
        asked = {"session_ids": [str(uuid4())] * number}
        response = await session.call("POST", "/keys", asked, who=HISTORY, issuer="history")
        assert response.status == status


async def test_a_session_without_a_key_is_unknown_but_its_id_stays_in_use(
    session: Service, pool: Pool
) -> None:
    started = (await session.call("POST", "/sessions", {}, key="k1")).body
    turn = await session.answered(started["id"], "hello", "hi")
    await pool.execute("UPDATE sessions SET wrapped_key = NULL")
    messages = f"/sessions/{started['id']}/messages"
    for response in (
        await session.call("GET", f"/sessions/{started['id']}"),
        await session.call("POST", messages, {"content": "hello"}),
        await session.call("GET", f"/turns/{turn['id']}"),
    ):
        assert response.status == 404
    for key, body in (("k1", {}), (None, {"id": started["id"]})):
        response = await session.call("POST", "/sessions", body, key=key)
        assert response.error == (409, "session_id_unavailable", "id")
    switched = await session.call("POST", "/switch-assistant", {"assistant_id": "helper"})
    assert switched.body["created"]

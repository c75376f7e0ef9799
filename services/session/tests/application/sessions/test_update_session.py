"""Updating sessions, legal holds and model suggestions, over HTTP."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from session_support.client import ADA, EVE, INFERENCE, OTHER_ADA, ApiResponse
from session_support.service import Service
from session_support.sessions import ADMIN

from parley_core.auth.principal import Principal
from parley_core.storage.postgres_pool import Pool

OTHER_ADMIN = Principal("elsewhere", "root", frozenset({"admin"}))
HOLD = {"legal_hold": True}


async def change(
    session: Service, session_id: str, who: Principal = ADA, **body: Any
) -> ApiResponse:
    return await session.call("PATCH", f"/sessions/{session_id}", body, who=who)


async def test_all_given_fields_are_updated_in_one_append(session: Service) -> None:
    started = await session.start(title="Old", metadata={"a": "b"})
    given: dict[str, Any] = {"title": "Größe 🎈", "metadata": {"room": "7"}, "archived": True}
    response = await change(session, started["id"], **given)
    assert response.status == 200
    assert {name: response.body[name] for name in given} == given
    assert (response.body["version"], response.body["created_at"]) == (4, started["created_at"])
    assert (await session.call("GET", f"/sessions/{started['id']}")).body == response.body


async def test_a_repeated_update_appends_nothing(session: Service) -> None:
    started = await session.start(title="Same", metadata={"a": "b"})
    same: dict[str, Any] = {"title": "Same", "metadata": {"a": "b"}, "archived": False}
    assert (await change(session, started["id"], **same)).body == started
    assert (await change(session, started["id"], title="Other")).body["version"] == 2
    assert (await change(session, started["id"], title="Other")).body["version"] == 2
    assert (await change(session, started["id"], title=None)).body["title"] is None
    assert (await change(session, started["id"], title=None)).body["version"] == 3


async def test_concurrent_equal_updates_are_applied_once(session: Service) -> None:
    session_id = (await session.start())["id"]
    changes = [change(session, session_id, title="New", archived=True) for _ in range(6)]
    responses = await asyncio.gather(*changes)
    assert {response.body["version"] for response in responses} == {3}


async def test_an_invalid_update_is_rejected(session: Service) -> None:
    session_id = (await session.start())["id"]
    wrong: list[tuple[dict[str, Any], str | None]] = [
        ({}, None),
        ({"titel": "x"}, "titel"),
        ({"title": "x" * 201}, "title"),
        ({"metadata": None}, "metadata"),
        ({"metadata": {"k": 1}}, "metadata[...]"),
        ({"archived": "yes"}, "archived"),
    ]
    for body, param in wrong:
        response = await change(session, session_id, **body)
        assert response.error == (400, "invalid_request", param)
    assert (await session.call("GET", f"/sessions/{session_id}")).body["version"] == 1


@pytest.mark.parametrize("who", [EVE, OTHER_ADA, ADMIN])
async def test_a_session_of_somebody_else_is_not_updated(session: Service, who: Principal) -> None:
    session_id = (await session.start(title="Mine"))["id"]
    # Also with the current value: the response would reveal the session.
    for body in ({"title": "Yours"}, {"title": "Mine"}, {"archived": False}):
        response = await change(session, session_id, who, **body)
        assert response.error == (404, "session_not_found", None)


async def test_an_administrator_places_a_legal_hold_without_seeing_content(
    session: Service, pool: Pool
) -> None:
    started = await session.start(title="Private", metadata={"a": "b"})
    response = await change(session, started["id"], ADA, **HOLD)
    assert response.error == (403, "missing_scope", None)
    for who in (EVE, OTHER_ADMIN):
        response = await change(session, started["id"], who, **HOLD)
        assert response.error == (404, "session_not_found", None)
    response = await change(session, started["id"], ADA, title="Private", legal_hold=False)
    assert (response.status, response.body["version"]) == (200, 1)
    response = await change(session, started["id"], ADMIN, **HOLD)
    assert (response.status, response.body["legal_hold"]) == (200, True)
    assert (response.body["title"], response.body["metadata"]) == (None, {})
    assert await pool.fetchval("SELECT held FROM sessions")
    read = await session.call("GET", f"/sessions/{started['id']}")
    assert (read.body["legal_hold"], read.body["title"]) == (True, "Private")
    assert not (await change(session, started["id"], ADMIN, legal_hold=False)).body["legal_hold"]
    assert not await pool.fetchval("SELECT held FROM sessions")


async def test_an_archived_or_temporary_session_is_not_the_latest(session: Service) -> None:
    body = {"assistant_id": "coder"}
    first = await session.start(**body)
    archived = await session.start(**body)
    await change(session, archived["id"], archived=True)
    temporary = await session.start(temporary=True, **body)
    assert temporary["expires_at"] > temporary["created_at"]
    switched = (await session.call("POST", "/switch-assistant", body)).body
    assert (switched["created"], switched["session"]["id"]) == (False, first["id"])
    await change(session, archived["id"], archived=False)
    switched = (await session.call("POST", "/switch-assistant", body)).body
    assert switched["session"]["id"] == archived["id"]


async def test_a_model_suggests_a_title_for_an_untitled_session(session: Service) -> None:
    session_id = (await session.start())["id"]
    path = f"/sessions/{session_id}/title"
    body = {"model": "demo", "usage": {"prompt_tokens": 5, "completion_tokens": 2}}
    for title in ("Greetings", "Farewells"):
        response = await session.end(path, {"title": title, **body})
        assert (response.status, response.body) == (200, {})
    read = (await session.call("GET", f"/sessions/{session_id}")).body
    assert (read["title"], read["version"]) == ("Greetings", 2)
    unknown = await session.end(f"/sessions/{uuid4()}/title", {"title": "x", **body})
    assert unknown.error == (404, "session_not_found", None)
    assert (await session.call("POST", path, {"title": "x", **body})).status == 403


async def test_a_model_stores_a_summary(session: Service) -> None:
    session_id = (await session.start())["id"]
    turn = await session.answered(session_id, "hello", "hi")
    path = f"/sessions/{session_id}/compaction"
    body = {"summary": "They met.", "model": "demo", "up_to_message_id": turn["reply_id"]}
    for _ in range(2):
        assert (await session.end(path, body)).body == {}
    assert (await session.call("GET", f"/sessions/{session_id}")).body["version"] == 5
    unknown = await session.end(path, body | {"up_to_message_id": str(uuid4())})
    assert unknown.error == (400, "invalid_request", "message_id")
    assert INFERENCE.user not in str(unknown.body)

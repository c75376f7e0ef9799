"""Forking sessions, over HTTP."""

from typing import Any
from uuid import uuid4

import pytest
from session_support.client import ADA, EVE, HISTORY, OTHER_ADA, ApiResponse
from session_support.service import Service

from parley_core.auth.principal import Principal
from parley_core.storage.postgres_pool import Pool


async def fork(
    session: Service,
    session_id: str,
    who: Principal = ADA,
    key: str | None = None,
    **body: Any,
) -> ApiResponse:
    return await session.call("POST", f"/sessions/{session_id}/fork", body, who=who, key=key)


async def shown(session: Service) -> list[str]:
    response = await session.call("POST", "/switch-assistant", {"assistant_id": "helper"})
    return [message["content"] for message in response.body["messages"]]


async def branched(session: Service) -> tuple[dict[str, Any], dict[str, Any]]:
    """A session whose second message was edited, and its first turn."""
    started = await session.start(title="Mine", metadata={"a": "b"})
    first = await session.answered(started["id"], "one", "two")
    await session.answered(started["id"], "three", "four")
    body = {"content": "3!", "parent_message_id": first["reply_id"]}
    await session.call("POST", f"/sessions/{started['id']}/messages", body)
    return started, first


async def test_a_fork_copies_the_current_branch_and_is_independent(session: Service) -> None:
    source, _ = await branched(session)
    response = await fork(session, source["id"])
    assert response.status == 201
    forked = response.body
    assert (forked["title"], forked["metadata"]) == ("Mine", {"a": "b"})
    assert forked["forked_from"]["session_id"] == source["id"]
    assert (forked["version"], forked["open_turn_id"]) == (4, None)
    # The fork is the latest session; an open turn in the source does not matter.
    assert await shown(session) == ["one", "two", "3!"]
    await session.answered(forked["id"], "five", "six")
    assert await shown(session) == ["one", "two", "3!", "five", "six"]
    read = (await session.call("GET", f"/sessions/{source['id']}")).body
    assert (read["version"], read.get("forked_from")) == (9, None)


async def test_a_fork_up_to_a_message_ends_with_it_and_preserves_times(
    session: Service,
) -> None:
    source, first = await branched(session)
    forked = (await fork(session, source["id"], message_id=first["reply_id"], title="New")).body
    assert (forked["title"], forked["forked_from"]["message_id"]) == ("New", first["reply_id"])
    response = await session.call("POST", "/switch-assistant", {"assistant_id": "helper"})
    said, replied = response.body["messages"]
    assert [said["content"], replied["content"]] == ["one", "two"]
    assert (said["created_at"], replied["created_at"]) == (
        first["message"]["created_at"],
        first["reply"]["created_at"],
    )
    assert {said["id"], replied["id"]}.isdisjoint({first["message"]["id"], first["reply_id"]})
    assert replied["parent_message_id"] == said["id"]


async def test_a_fork_leaves_out_replies_without_text(session: Service) -> None:
    session_id = (await session.start())["id"]
    turn, runner = await session.submit(session_id, "one"), str(uuid4())
    await session.claim(turn["id"], runner)
    await session.fail(turn["id"], runner)
    await session.answered(session_id, "two", "three")
    assert await shown(session) == ["one", "", "two", "three"]
    assert (await fork(session, session_id)).body["version"] == 4
    assert await shown(session) == ["one", "two", "three"]


async def test_a_fork_has_its_own_data_key(session: Service) -> None:
    source, _ = await branched(session)
    forked = (await fork(session, source["id"])).body
    await session.call("DELETE", f"/sessions/{source['id']}")
    asked = {"session_ids": [source["id"], forked["id"]]}
    keys = (await session.call("POST", "/keys", asked, who=HISTORY, issuer="history")).body["keys"]
    assert keys[source["id"]] is None
    assert keys[forked["id"]] is not None
    assert await shown(session) == ["one", "two", "3!"]


async def test_a_repeated_fork_returns_the_same_session(session: Service, pool: Pool) -> None:
    source, _ = await branched(session)
    first = await fork(session, source["id"], key="k1")
    # Also after the fork has changed, or was erased.
    await session.call("DELETE", f"/sessions/{source['id']}")
    repeated = await fork(session, source["id"], key="k1")
    assert (repeated.status, repeated.body) == (200, first.body)
    assert await pool.fetchval("SELECT count(*) FROM sessions") == 2
    other = await fork(session, source["id"], key="k1", title="Other")
    assert other.error == (422, "idempotency_key_reused", None)


async def test_invalid_forks_are_rejected(session: Service) -> None:
    source, first = await branched(session)
    for who in (EVE, OTHER_ADA):
        response = await fork(session, source["id"], who)
        assert response.error == (404, "session_not_found", None)
    empty = await session.start()
    for session_id, body in (
        (source["id"], {"message_id": str(uuid4())}),
        (empty["id"], {"message_id": first["reply_id"]}),
        (empty["id"], {}),
    ):
        response = await fork(session, session_id, **body)
        assert response.error == (400, "invalid_request", "message_id")
    response = await fork(session, source["id"], id=empty["id"])
    assert response.error == (409, "session_id_unavailable", "id")
    await session.call("DELETE", f"/sessions/{source['id']}")
    response = await fork(session, source["id"])
    assert response.error == (404, "session_not_found", None)


async def test_a_fork_of_a_temporary_session_expires_with_it(session: Service) -> None:
    source = await session.start(temporary=True)
    await session.answered(source["id"], "one", "two")
    forked = (await fork(session, source["id"])).body
    assert forked["expires_at"] == source["expires_at"]


@pytest.mark.parametrize("limit", [{"MAX_FORK_MESSAGES": 1}, {"MAX_FORK_BYTES": 60}])
async def test_a_fork_over_the_limits_is_rejected(serve: Any, limit: dict[str, int]) -> None:
    session = await serve(**limit)
    session_id = (await session.start())["id"]
    turn = await session.answered(session_id, "one", "two")
    response = await fork(session, session_id)
    assert response.error == (409, "fork_too_large", None)
    response = await fork(session, session_id, message_id=turn["message"]["id"])
    assert response.status == 201

"""Deleting, restoring and erasing sessions, over HTTP."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from session_support.client import EVE, OTHER_ADA
from session_support.components import components_on, deletion_on
from session_support.service import Service
from session_support.sessions import delete, hold, keys_of

from parley_core.auth.caller import Caller
from parley_core.auth.principal import Principal
from parley_core.storage.postgres_pool import Pool
from parley_session.domain.session.errors import LegalHold
from parley_session.storage.session_index import SessionIndex

PARLEY = Caller(Principal("parley", "session"), "job")


@pytest.fixture
async def with_window(serve: Any, tmp_path: Path) -> Service:
    """A service with an undelete window of a week."""
    policies = tmp_path / "policies.yaml"
    policies.write_text("policies: [{undelete_days: 7}]")
    service: Service = await serve(session_retention_policy_path=policies)
    return service


async def types_of(pool: Pool, session_id: str) -> list[str]:
    rows = await pool.fetch(
        "SELECT type FROM events WHERE session_id = $1 ORDER BY sequence", UUID(session_id)
    )
    return [row["type"].split(".")[2] for row in rows]


async def test_an_erasure_destroys_the_key_in_the_commit_of_its_event(
    session: Service, pool: Pool
) -> None:
    started = await session.start(title="Mine")
    await session.answered(started["id"], "hello", "hi")
    response = await delete(session, started["id"])
    assert (response.status, response.body) == (
        200,
        {
            "object": "session.deleted",
            "id": started["id"],
            "erased": True,
            "erase_at": None,
            "version": 5,
        },
    )
    row = await pool.fetchrow("SELECT *, xmin::text AS moved FROM sessions")
    assert row is not None
    assert (row["wrapped_key"], row["erase_at"], row["version"]) == (None, None, 5)
    event = await pool.fetchrow("SELECT *, xmin::text AS stored FROM events WHERE sequence = 5")
    assert event is not None
    assert (event["type"], event["time"]) == ("parley.session.session_erased.v1", row["erased_at"])
    assert event["stored"] == row["moved"]


async def test_every_call_answers_404_for_an_erased_session(session: Service) -> None:
    started = (await session.call("POST", "/sessions", {}, key="k1")).body
    turn = await session.answered(started["id"], "hello", "hi")
    await delete(session, started["id"])
    path = f"/sessions/{started['id']}"
    calls: list[tuple[str, str, Any]] = [
        ("GET", path, None),
        ("PATCH", path, {"title": "x"}),
        ("POST", f"{path}/messages", {"content": "x"}),
        ("POST", f"{path}/regenerate", {}),
        ("POST", f"{path}/import", {"messages": [{"role": "user", "content": "x"}]}),
        ("POST", f"{path}/fork", {}),
        ("POST", f"{path}/restore", None),
    ]
    for method, called, body in calls:
        response = await session.call(method, called, body)
        assert response.error == (404, "session_not_found", None), called
    model: dict[str, Any] = {"model": "demo"}
    for called, body in (
        (f"{path}/title", {"title": "x"}),
        (f"{path}/compaction", {"summary": "x", "up_to_message_id": turn["reply_id"]}),
    ):
        assert (await session.end(called, body | model)).status == 404
    for called in (f"/turns/{turn['id']}", f"/turns/{turn['id']}/cancel"):
        method = "POST" if called.endswith("cancel") else "GET"
        response = await session.call(method, called)
        assert response.error == (404, "turn_not_found", None)
    assert await keys_of(session, started["id"]) == {started["id"]: None}
    response = await session.call("POST", "/sessions", {"id": started["id"]})
    assert response.error == (409, "session_id_unavailable", "id")


async def test_a_retry_of_the_start_of_an_erased_session_creates_none(
    session: Service, pool: Pool
) -> None:
    started = (await session.call("POST", "/sessions", {}, key="k1")).body
    await session.submit(started["id"], key="k2")
    other = await session.call("POST", "/sessions", {}, key="k3")
    await delete(session, started["id"])
    kept = await pool.fetch("SELECT session_id FROM remembered_requests")
    assert [str(row["session_id"]) for row in kept] == [other.body["id"]]
    response = await session.call("POST", "/sessions", {}, key="k1")
    assert response.error == (409, "session_id_unavailable", "id")
    path = f"/sessions/{started['id']}/messages"
    response = await session.call("POST", path, {"content": "Hello?"}, key="k2")
    assert response.error == (404, "session_not_found", None)
    assert (await session.call("POST", "/sessions", {}, key="k3")).body == other.body


async def test_repeated_and_concurrent_erasures_append_one_event(
    session: Service, pool: Pool
) -> None:
    session_id = (await session.start())["id"]
    responses = await asyncio.gather(*(delete(session, session_id) for _ in range(6)))
    responses.append(await delete(session, session_id))
    assert {response.status for response in responses} == {200}
    assert {response.body["version"] for response in responses} == {2}
    assert await types_of(pool, session_id) == ["session_started", "session_erased"]


@pytest.mark.parametrize("who", [EVE, OTHER_ADA])
async def test_a_session_of_somebody_else_is_not_erased(session: Service, who: Principal) -> None:
    session_id = (await session.start())["id"]
    for _ in range(2):
        response = await delete(session, session_id, who)
        assert response.error == (404, "session_not_found", None)
        await delete(session, session_id)
    assert (await delete(session, str(uuid4()))).status == 404


@pytest.mark.parametrize("window", [False, True])
async def test_the_runner_of_an_erased_session_is_stopped_and_stores_nothing(
    session: Service, with_window: Service, pool: Pool, window: bool
) -> None:
    served = with_window if window else session
    turn, runner = await served.open_turn(), str(uuid4())
    await served.claim(turn["id"], runner)
    deleted = await delete(served, turn["session_id"])
    assert (deleted.body["version"], deleted.body["erased"]) == (5, not window)
    last = await types_of(pool, turn["session_id"])
    assert last[3:] == ["reply_cancelled", "session_deleted" if window else "session_erased"]
    response = await served.end(
        f"/runners/{runner}/heartbeat", {"turns": [turn["id"]], "capacity": 1}
    )
    assert response.body == {
        "stop": [{"turn_id": turn["id"], "reason": "not_yours"}],
        "erased": [turn["session_id"]],
    }
    for ending in (served.complete, served.fail):
        expected = await ending(turn["id"], runner)
        assert expected.error == (404, "turn_not_found", None)
    claim = {"runner": runner, "since": None}
    expected = await served.call("POST", f"/turns/{turn['id']}/claim", claim, issuer="inference")
    assert expected.error == (404, "turn_not_found", None)
    assert len(await types_of(pool, turn["session_id"])) == 5
    assert not await components_on(pool).turns.abandoned(0, 10)


async def test_a_concurrent_erasure_and_end_of_a_turn_leave_one_end(
    session: Service, pool: Pool
) -> None:
    for _ in range(5):
        turn, runner = await session.open_turn(), str(uuid4())
        await session.claim(turn["id"], runner)
        ended, erased = await asyncio.gather(
            session.complete(turn["id"], runner), delete(session, turn["session_id"])
        )
        assert ended.status in (200, 404)
        assert erased.body["erased"]
        ends = [t for t in await types_of(pool, turn["session_id"]) if t.startswith("reply_c")]
        assert len(ends) == 1
        assert not await pool.fetchval("SELECT count(wrapped_key) FROM sessions")


async def test_a_deleted_session_is_hidden_and_can_be_restored_in_its_window(
    with_window: Service, pool: Pool
) -> None:
    session = with_window
    started = await session.start(title="Mine")
    turn = await session.answered(started["id"], "hello", "hi")
    response = await delete(session, started["id"])
    erase_at = await pool.fetchval("SELECT erase_at FROM sessions")
    deleted_at = await pool.fetchval("SELECT deleted_at FROM sessions")
    assert timedelta(days=7, seconds=-1) < erase_at - deleted_at < timedelta(days=7, seconds=1)
    assert (response.body["erased"], response.body["version"]) == (False, 5)
    assert (await delete(session, started["id"])).body == response.body
    path = f"/sessions/{started['id']}"
    for method, called, body in (
        ("GET", path, None),
        ("POST", f"{path}/messages", {"content": "x"}),
        ("PATCH", path, {"archived": True}),
    ):
        assert (await session.call(method, called, body)).status == 404
    assert (await session.call("GET", f"/turns/{turn['id']}")).status == 404
    assert await keys_of(session, started["id"]) == {started["id"]: None}
    switched = await session.call("POST", "/switch-assistant", {"assistant_id": "helper"})
    assert switched.body["created"]
    assert (await session.call("POST", f"{path}/restore", who=EVE)).status == 404
    restored = await session.call("POST", f"{path}/restore")
    assert (restored.status, restored.body["title"], restored.body["version"]) == (200, "Mine", 6)
    repeated = await session.call("POST", f"{path}/restore")
    assert repeated.error == (409, "not_deleted", None)
    row = await pool.fetchrow("SELECT * FROM sessions WHERE id = $1", UUID(started["id"]))
    assert row is not None
    assert (row["deleted"], row["deleted_at"], row["erase_at"]) == (False, None, None)
    assert await session.turn(turn["id"]) == turn


async def test_a_legal_hold_prevents_erasure_even_when_placed_in_the_undelete_window(
    with_window: Service, pool: Pool
) -> None:
    session = with_window
    loaded, late = [(await session.start())["id"] for _ in range(2)]
    await hold(session, loaded)
    assert (await delete(session, loaded)).error == (409, "legal_hold", None)
    await delete(session, late)
    assert (await hold(session, late)).body["legal_hold"]
    deletion = deletion_on(pool)
    with pytest.raises(LegalHold):
        await deletion.erase(UUID(late), "operator", PARLEY)
    assert (await session.call("POST", f"/sessions/{late}/restore")).status == 200
    assert await pool.fetchval("SELECT count(wrapped_key) FROM sessions") == 2


async def test_a_switch_skips_a_session_that_is_erased_meanwhile(
    session: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier, later = await session.start(), await session.start()
    find = SessionIndex.latest_with_assistant

    async def find_and_erase(
        index: SessionIndex, principal: Principal, assistant_id: str
    ) -> UUID | None:
        found = await find(index, principal, assistant_id)
        await delete(session, later["id"])
        return found

    monkeypatch.setattr(SessionIndex, "latest_with_assistant", find_and_erase)
    switched = await session.call("POST", "/switch-assistant", {"assistant_id": "helper"})
    assert switched.body["session"]["id"] == earlier["id"]

"""All sessions of a person are erased, in calls of a bounded number."""

from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from session_support.client import ADA, EVE, HISTORY, OTHER_ADA
from session_support.components import deletion_on
from session_support.service import Service
from session_support.sessions import delete, hold

from parley_core.auth.caller import Caller
from parley_core.auth.principal import Principal
from parley_core.storage.postgres_pool import Pool

PARLEY = Caller(Principal("parley", "session"), "job")


@pytest.fixture
async def with_window(serve: Any, tmp_path: Path) -> Service:
    """A service with an undelete window of a week."""
    policies = tmp_path / "policies.yaml"
    policies.write_text("policies: [{undelete_days: 7}]")
    service: Service = await serve(session_retention_policy_path=policies)
    return service


async def test_all_sessions_of_a_person_are_erased_with_the_search_key(
    with_window: Service, pool: Pool
) -> None:
    session = with_window
    mine = [(await session.start(temporary=not n))["id"] for n in range(4)]
    await delete(session, mine[1])
    others = [await session.call("POST", "/sessions", {}, who=who) for who in (EVE, OTHER_ADA)]
    people = [{"tenant": p.tenant, "user": p.user} for p in (ADA, EVE)]
    asked = await session.call(
        "POST", "/search-keys", {"people": people}, who=HISTORY, issuer="history"
    )
    assert len({key["key"] for key in asked.body["keys"]} - {None}) == 2
    await hold(session, mine[2])
    response = await session.call("DELETE", "/sessions")
    expected = {"object": "sessions.deleted", "erased": 3, "held": 1, "has_more": False}
    assert (response.status, response.body) == (200, expected)
    assert await pool.fetchval("SELECT count(*) FROM search_keys") == 2
    await hold(session, mine[2], legal_hold=False)
    assert (await session.call("DELETE", "/sessions")).body["erased"] == 1
    rows = await pool.fetch("SELECT id FROM sessions WHERE wrapped_key IS NOT NULL")
    assert {str(row["id"]) for row in rows} == {response.body["id"] for response in others}
    assert await pool.fetchval("SELECT owner FROM search_keys") == "eve"
    assert (await session.call("DELETE", "/sessions")).body["erased"] == 0


async def test_one_call_erases_at_most_the_given_number_of_sessions(
    session: Service, pool: Pool
) -> None:
    for _ in range(3):
        await session.start()
    deletion = deletion_on(pool)
    done = [
        await deletion.erase_all_of(ADA, "operator", PARLEY, max_sessions=2, max_seconds=10)
        for _ in range(2)
    ]
    assert [(one.erased, one.has_more) for one in done] == [(2, True), (1, False)]
    await session.start()
    late = await deletion.erase_all_of(ADA, "operator", PARLEY, max_sessions=2, max_seconds=0)
    assert (late.erased, late.has_more) == (0, True)


async def test_sessions_under_a_legal_hold_do_not_count_towards_the_limit(
    session: Service, pool: Pool
) -> None:
    loaded = [(await session.start())["id"] for _ in range(3)]
    for session_id in loaded:
        await hold(session, session_id)
    await session.start()
    done = await deletion_on(pool).erase_all_of(
        ADA, "operator", PARLEY, max_sessions=1, max_seconds=10
    )
    assert (done.erased, done.held, done.has_more) == (1, 3, False)


async def test_erasing_an_unknown_or_erased_session_changes_nothing(
    session: Service, pool: Pool
) -> None:
    session_id = UUID((await session.start())["id"])
    deletion = deletion_on(pool)
    assert not await deletion.erase(session_id, "deleted", PARLEY)
    assert await deletion.erase(session_id, "operator", PARLEY, as_system=True)
    assert not await deletion.erase(session_id, "operator", PARLEY, as_system=True)
    assert not await deletion.erase(uuid4(), "operator", PARLEY)
    actor = await pool.fetchval("SELECT data->'actor' FROM events WHERE sequence = 2")
    assert '"system":true' in actor

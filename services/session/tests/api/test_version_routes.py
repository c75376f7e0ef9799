"""The versions that reads of history must have: of given sessions, and of a person's latest."""

from uuid import uuid4

import pytest
from session_support.client import ADA, EVE, OTHER_ADA, ApiResponse
from session_support.service import Service

from parley_core.auth.principal import Principal
from parley_core.storage.postgres_pool import Pool


async def versions(session: Service, *ids: str) -> dict[str, int]:
    response = await session.call("POST", "/versions", {"session_ids": ids})
    assert response.status == 200, response.body
    return dict(response.body["versions"])


async def latest(session: Service, who: Principal = ADA) -> dict[str, int]:
    response = await session.call("GET", "/latest-versions", who=who, issuer="history")
    assert response.status == 200, response.body
    return dict(response.body["versions"])


async def erase(session: Service, session_id: str) -> ApiResponse:
    return await session.call("DELETE", f"/sessions/{session_id}")


async def test_versions_are_those_of_the_sessions_that_can_be_read(session: Service) -> None:
    plain, renamed, erased = [(await session.start())["id"] for _ in range(3)]
    await session.call("PATCH", f"/sessions/{renamed}", {"title": "Plans"})
    await erase(session, erased)
    assert await versions(session, plain, renamed, erased, str(uuid4())) == {plain: 1, renamed: 2}
    assert await versions(session) == {}


@pytest.mark.parametrize("ids", [["x"], [str(uuid4())] * 501, "x", None])
async def test_invalid_session_ids_are_rejected(session: Service, ids: object) -> None:
    rejected = await session.call("POST", "/versions", {"session_ids": ids})
    assert rejected.error[:2] == (400, "invalid_request")


async def test_the_latest_versions_are_those_of_the_persons_own_sessions(session: Service) -> None:
    first = await session.start()
    turn = await session.submit((await session.start())["id"])
    assert await latest(session) == {first["id"]: 1, turn["session_id"]: 3}
    assert await latest(session, EVE) == await latest(session, OTHER_ADA) == {}


async def test_the_latest_versions_include_those_of_erased_sessions(session: Service) -> None:
    session_id = (await session.start())["id"]
    await erase(session, session_id)
    assert await latest(session) == {session_id: 2}


async def test_completions_without_a_session_have_no_latest_version(session: Service) -> None:
    record = {
        "id": str(uuid4()),
        "model": "demo",
        "status": "completed",
        "usage": {"prompt_tokens": 3, "completion_tokens": 2},
    }
    recorded = await session.call("POST", "/completions", record, issuer="inference")
    assert recorded.status in (200, 201), recorded.body
    assert await latest(session) == {}


async def test_of_many_sessions_the_last_100_and_those_of_the_last_minute_are_named(
    session: Service, pool: Pool
) -> None:
    ids = [(await session.start())["id"] for _ in range(105)]
    assert set(await latest(session)) == set(ids)
    # 104 of them changed two minutes ago, the oldest one just now.
    await pool.execute(
        "UPDATE sessions SET updated_at = updated_at - interval '2 minutes' WHERE id <> $1", ids[0]
    )
    assert set(await latest(session)) == {ids[0], *ids[-99:]}

"""A turn is admitted before it is committed: room in a live runner, and the person's share."""

import asyncio
import math
from collections import Counter
from typing import Any
from uuid import uuid4

import pytest
from session_support.client import ADA, EVE, ApiResponse
from session_support.service import Service

from parley_core.auth.principal import Principal
from parley_core.storage.postgres_pool import Pool
from parley_session.application.turns import turn_admission

BUSY = (503, "inference_busy", None)
TOO_MANY = (429, "too_many_turns", None)


@pytest.fixture(autouse=True)
async def no_runner(pool: Pool) -> None:
    await pool.execute("DELETE FROM runners")


@pytest.fixture
def every_count_is_new(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turn_admission, "RECOUNT_SECONDS", -1)


async def beat(session: Service, runner: str, capacity: int) -> None:
    body = {"turns": [], "capacity": capacity}
    assert (await session.end(f"/runners/{runner}/heartbeat", body)).status == 200


async def started(session: Service, who: Principal = ADA) -> str:
    return str((await session.call("POST", "/sessions", {}, who=who)).body["id"])


async def submitted(
    session: Service, session_id: str, who: Principal = ADA, key: str | None = None
) -> ApiResponse:
    path = f"/sessions/{session_id}/messages"
    return await session.call("POST", path, {"content": "Hello?"}, who=who, key=key)


async def opened(session: Service, who: Principal = ADA) -> ApiResponse:
    """The response to a message in a new session."""
    return await submitted(session, await started(session, who), who)


async def test_without_a_runner_a_turn_is_refused_and_leaves_no_event(
    session: Service, pool: Pool
) -> None:
    session_id = await started(session)
    refused = await submitted(session, session_id)
    assert refused.error == (503, "inference_unavailable", None)
    assert refused.headers["retry-after"] == "1"
    assert await pool.fetchval("SELECT count(*) FROM events") == 1
    await beat(session, str(uuid4()), 1)
    assert (await submitted(session, session_id)).status == 201


async def test_a_runner_that_shuts_down_or_whose_lease_expired_counts_no_more(
    session: Service, pool: Pool, every_count_is_new: None
) -> None:
    stopping, lost = str(uuid4()), str(uuid4())
    await beat(session, stopping, 5)
    await beat(session, lost, 5)
    assert (await opened(session)).status == 201
    await beat(session, stopping, 0)
    await pool.execute("UPDATE runners SET seen_at = now() - interval '11 s' WHERE capacity > 0")
    assert (await opened(session)).error == (503, "inference_unavailable", None)


async def test_turns_beyond_the_capacity_of_all_runners_leave_no_event(
    session: Service, pool: Pool
) -> None:
    await beat(session, str(uuid4()), 3)
    await beat(session, str(uuid4()), 2)
    people = [Principal("default", f"user-{number}") for number in range(12)]
    sessions = [await started(session, who) for who in people]
    responses = await asyncio.gather(
        *(submitted(session, *each) for each in zip(sessions, people, strict=True))
    )
    statuses = Counter(response.status for response in responses)
    assert statuses == {201: 5, 503: 7}
    assert {response.error for response in responses if response.status == 503} == {BUSY}
    # The start of a session is one event, a submitted message two.
    assert await pool.fetchval("SELECT count(*) FROM events") == 12 + 2 * 5


async def test_replicas_count_the_turns_of_each_other(
    session: Service, serve: Any, every_count_is_new: None
) -> None:
    other = await serve()
    await beat(session, str(uuid4()), 2)
    assert (await opened(session)).status == 201
    assert (await opened(other, EVE)).status == 201
    third = Principal("default", "third")
    assert (await opened(session, third)).error == BUSY
    assert (await opened(other, third)).error == BUSY


async def test_a_person_at_the_share_is_refused_and_another_is_admitted(session: Service) -> None:
    await beat(session, str(uuid4()), 8)
    assert [(await opened(session)).status for _ in range(2)] == [201, 201]
    refused = await opened(session)
    assert refused.error == TOO_MANY
    assert int(refused.headers["retry-after"]) >= 1
    assert (await opened(session, EVE)).status == 201


async def test_those_who_are_refused_are_told_to_come_back_one_after_another(
    session: Service, pool: Pool
) -> None:
    await beat(session, str(uuid4()), 8)
    assert [(await opened(session)).status for _ in range(2)] == [201, 201]
    # Two turns with a mean age of 8 s: one ends every 4 s.
    await pool.execute("UPDATE turns SET opened_at = now() - interval '8 s'")
    headers = [(await opened(session)).headers for _ in range(12)]
    waits = [int(each["retry-after-ms"]) / 1000 for each in headers]
    assert [int(each["retry-after"]) for each in headers] == [math.ceil(wait) for wait in waits]
    assert waits[:6] == sorted(waits[:6])
    assert 4 <= waits[0] <= 5
    assert 16 <= waits[3] <= 18
    assert all(15 <= wait <= turn_admission.MAX_RETRY_AFTER_SECONDS for wait in waits[8:])


async def test_an_ended_turn_makes_room_at_once(session: Service) -> None:
    runner = str(uuid4())
    await beat(session, runner, 1)
    turn = (await opened(session)).body
    assert (await opened(session, EVE)).error == BUSY
    await session.claim(turn["id"], runner)
    assert (await session.complete(turn["id"], runner)).status == 200
    assert (await opened(session, EVE)).status == 201


async def test_a_repeated_request_is_answered_although_no_further_turn_is_admitted(
    session: Service,
) -> None:
    await beat(session, str(uuid4()), 1)
    session_id = await started(session)
    first = await submitted(session, session_id, key="k")
    assert (await opened(session)).error == TOO_MANY
    again = await submitted(session, session_id, key="k")
    assert (again.status, again.body) == (200, first.body)


async def test_the_open_turn_of_the_session_is_the_first_reason_to_refuse(session: Service) -> None:
    await beat(session, str(uuid4()), 1)
    session_id = await started(session)
    assert (await submitted(session, session_id)).status == 201
    assert (await submitted(session, session_id)).error[:2] == (409, "turn_open")


async def test_a_regenerated_reply_is_admitted_like_a_message(session: Service) -> None:
    runner = str(uuid4())
    await beat(session, runner, 1)
    turn = (await opened(session)).body
    await session.claim(turn["id"], runner)
    await session.complete(turn["id"], runner)
    assert (await opened(session, EVE)).status == 201
    path = f"/sessions/{turn['session_id']}/regenerate"
    assert (await session.call("POST", path, {})).error == BUSY


async def test_retry_after_grows_with_the_age_of_the_open_turns(
    session: Service, pool: Pool
) -> None:
    await beat(session, str(uuid4()), 8)
    assert [(await opened(session)).status for _ in range(2)] == [201, 201]
    await pool.execute("UPDATE turns SET opened_at = opened_at - interval '9.5 s'")
    # Two turns that have run for nearly ten seconds: one of them ends in about five.
    assert (await opened(session)).headers["retry-after"] == "5"

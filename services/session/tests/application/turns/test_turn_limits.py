"""Turn limits: exact where the turn is committed, by minute, day and number of open turns."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from session_support.budgets import API_KEY, USAGE, opened, started, submitted
from session_support.client import ADA, EVE, OTHER_ADA, ApiResponse
from session_support.service import Service

from parley_core.auth.principal import Principal
from parley_core.limits.rules import subject_of
from parley_core.storage.postgres_pool import Pool
from parley_session.storage.turn_counts import TurnCounts

# Longer than a test takes, also on a busy machine.
TEST_SECONDS = 5

Limited = Callable[[str], Awaitable[Service]]


@pytest.fixture
def limited(serve: Any, tmp_path: Path) -> Limited:
    """Starts a session service with these rules."""

    async def start(rules: str) -> Service:
        path = tmp_path / "limits.yaml"
        path.write_text(f"limits: [{rules}]")
        service: Service = await serve(limits_file=path)
        # The minute that the database counts in, by the same clock, does not end during a test.
        if (rest := 60 - time.time() % 60) < TEST_SECONDS:
            await asyncio.sleep(rest)
        return service

    return start


async def end(session: Service, turn: ApiResponse, who: Principal = ADA) -> None:
    runner = str(uuid4())
    assert (await session.claim(turn.body["id"], runner, who))["claimed"]
    assert (await session.complete(turn.body["id"], runner, usage=USAGE)).status == 200


async def admit_completion(session: Service, who: Principal = ADA) -> ApiResponse:
    return await session.call("POST", "/completions/admission", {"model": "demo"}, who=who)


async def record_completion(session: Service, who: Principal = ADA) -> None:
    body = {"id": str(uuid4()), "model": "demo", "status": "completed", "usage": USAGE}
    response = await session.call("POST", "/completions", body, who=who, issuer="inference")
    assert response.status == 200


@pytest.mark.parametrize("limit", ["turns_per_minute", "open_turns"])
async def test_concurrent_turns_of_one_person_are_admitted_exactly_up_to_the_limit(
    limited: Limited, serve: Any, pool: Pool, limit: str
) -> None:
    session = await limited(f"{{{limit}: 7}}")
    other: Service = await serve(limits_file=session.settings.limits_file)
    sessions = [await started(session) for _ in range(50)]
    await pool.execute(
        # The minute does not end during the test.
        """
        INSERT INTO turn_counts (tenant, subject, minute, day)
        VALUES ('default', $1, now() + interval '1 hour', now() + interval '1 day')
        """,
        subject_of("ada"),
    )
    responses = await asyncio.gather(
        *(submitted((session, other)[number % 2], each) for number, each in enumerate(sessions))
    )
    assert Counter(response.status for response in responses) == {201: 7, 429: 43}
    refused = next(response for response in responses if response.status == 429)
    assert refused.error == (429, "rate_limit_exceeded", limit)
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert await pool.fetchval("SELECT count(*) FROM turns") == 7
    assert (await opened(session, EVE)).status == 201


async def test_the_next_minute_admits_again(limited: Limited, pool: Pool) -> None:
    session = await limited("{turns_per_minute: 1}")
    assert (await opened(session)).status == 201
    await pool.execute("UPDATE turn_counts SET minute = minute - interval '1 minute'")
    assert (await opened(session)).status == 201


async def test_a_keyed_retry_of_an_accepted_turn_counts_once(limited: Limited, pool: Pool) -> None:
    session = await limited("{turns_per_minute: 2}")
    session_id = await started(session)
    concurrent = await asyncio.gather(
        *(submitted(session, session_id, key="same") for _ in range(5))
    )
    again = await submitted(session, session_id, key="same")
    assert Counter(each.status for each in (*concurrent, again)) == {201: 1, 200: 5}
    assert await pool.fetchval("SELECT minute_turns FROM turn_counts") == 1


async def test_a_turn_that_a_rule_of_the_session_refuses_is_not_counted(
    limited: Limited, pool: Pool
) -> None:
    session = await limited("{turns_per_minute: 9}")
    session_id = await started(session)
    concurrent = await asyncio.gather(*(submitted(session, session_id) for _ in range(5)))
    assert Counter(each.status for each in concurrent) == {201: 1, 409: 4}
    assert await pool.fetchval("SELECT minute_turns FROM turn_counts") == 1


async def test_an_ended_turn_is_no_longer_open(limited: Limited) -> None:
    session = await limited("{open_turns: 1}")
    first = await opened(session)
    assert (await opened(session)).error == (429, "rate_limit_exceeded", "open_turns")
    await end(session, first)
    assert (await opened(session)).status == 201


@pytest.mark.parametrize(
    ("limit", "code"),
    [("tokens_per_minute", "rate_limit_exceeded"), ("tokens_per_day", "quota_exceeded")],
)
async def test_a_turn_is_admitted_until_the_tokens_of_the_window_are_used(
    limited: Limited, limit: str, code: str
) -> None:
    session = await limited(f"{{{limit}: 150}}")
    for remaining in ("150", "50"):
        turn = await opened(session)
        assert turn.status == 201
        assert turn.headers["x-ratelimit-limit-tokens"] == "150"
        assert turn.headers["x-ratelimit-remaining-tokens"] == remaining
        await end(session, turn)
    refused = await opened(session)
    assert refused.error == (429, code, limit)
    assert refused.headers["x-ratelimit-limit-tokens"] == "150"
    assert refused.headers["x-ratelimit-remaining-tokens"] == "0"
    assert (await admit_completion(session)).error == (429, code, limit)


async def test_completions_without_a_session_count_as_turns(limited: Limited) -> None:
    session = await limited("{turns_per_minute: 2, tokens_per_day: 100}")
    assert (await admit_completion(session)).status == 200
    await record_completion(session)
    assert (await opened(session)).error == (429, "quota_exceeded", "tokens_per_day")
    assert (await admit_completion(session, EVE)).status == 200
    assert (await admit_completion(session, EVE)).status == 200
    refused = await admit_completion(session, EVE)
    assert refused.error == (429, "rate_limit_exceeded", "turns_per_minute")


async def test_a_limit_of_zero_admits_nothing(limited: Limited) -> None:
    session = await limited("{turns_per_minute: 5}, {user: ada, turns_per_minute: 0}")
    refused = await opened(session)
    assert refused.error == (429, "rate_limit_exceeded", "turns_per_minute")
    assert refused.headers["x-should-retry"] == "false"
    assert (await opened(session, EVE)).status == 201


async def test_a_rule_with_an_api_key_counts_that_key_alone(limited: Limited) -> None:
    session = await limited(f"{{turns_per_minute: 3}}, {{api_key: {API_KEY}, turns_per_minute: 1}}")
    program = Principal("default", "ada", api_key=API_KEY)
    assert (await opened(session, program)).status == 201
    assert (await opened(session, program)).status == 429
    # What the key does counts towards the limit of its person, too.
    assert [(await opened(session)).status for _ in range(3)] == [201, 201, 429]


async def test_the_turns_of_a_tenant_are_limited_in_addition_to_those_of_a_person(
    limited: Limited,
) -> None:
    session = await limited("{turns_per_minute: 2}, {turns_per_minute: 3, per: tenant}")
    assert [(await opened(session)).status for _ in range(3)] == [201, 201, 429]
    # What was refused to Ada does not count.
    assert [(await opened(session, EVE)).status for _ in range(2)] == [201, 429]
    assert (await opened(session, OTHER_ADA)).status == 201


async def test_turns_that_open_and_end_at_once_do_not_deadlock(limited: Limited) -> None:
    session = await limited(
        "{tokens_per_day: 1000000}, {model: demo, open_turns: 1000},"
        "{tokens_per_day: 1000000, per: tenant}"
    )
    people = [ADA, EVE] * 10

    async def turns(who: Principal) -> None:
        for _ in range(3):
            await end(session, await opened(session, who), who)

    await asyncio.gather(*map(turns, people))
    limits = (await session.call("GET", "/limits")).body["limits"]
    used = {(each["name"], each["per"]): each["used"] for each in limits}
    assert used == {
        ("open_turns", "person"): 0,
        ("tokens_per_day", "person"): 3_000,
        ("tokens_per_day", "tenant"): 6_000,
    }


async def test_where_a_person_stands_is_read_from_the_counts(limited: Limited) -> None:
    session = await limited(
        "{turns_per_minute: 5, open_turns: 3, requests_per_minute: 9},"
        "{model: demo, tokens_per_day: 1000}"
    )
    await end(session, await opened(session))
    assert (await opened(session)).status == 201
    limits = (await session.call("GET", "/limits")).body["limits"]
    assert [(each["name"], each["model"], each["used"], each["value"]) for each in limits] == [
        ("turns_per_minute", None, 2, 5),
        ("open_turns", None, 1, 3),
        ("tokens_per_day", "demo", 100, 1000),
    ]
    assert [each["resets_at"] is None for each in limits] == [False, True, False]


async def test_without_a_file_nothing_is_counted(session: Service, pool: Pool) -> None:
    await end(session, await opened(session))
    assert (await admit_completion(session)).status == 200
    assert (await session.call("GET", "/limits")).body == {"limits": []}
    assert await pool.fetchval("SELECT count(*) FROM turn_counts") == 0


async def test_old_counts_are_deleted(limited: Limited, pool: Pool) -> None:
    session = await limited("{turns_per_minute: 5}")
    for who in (ADA, EVE):
        assert (await opened(session, who)).status == 201
    await pool.execute(
        """
        UPDATE turn_counts SET minute = now() - interval '3 days', day = now() - interval '3 days'
        WHERE subject = $1
        """,
        subject_of("ada"),
    )
    await TurnCounts(pool).delete_old()
    left = await pool.fetch("SELECT subject FROM turn_counts")
    assert [row["subject"] for row in left] == [subject_of("eve")]

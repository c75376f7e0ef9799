"""Budgets: reserved where the turn is committed, settled where it ends, by day and month."""

import asyncio
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest
from session_support.budgets import (
    API_KEY,
    COMPLETION_COST,
    COST,
    PRICE,
    USAGE,
    Budgeted,
    admit,
    claimed,
    end,
    opened,
    record,
    reserved_by_one,
    standing,
    started,
    submitted,
)
from session_support.client import ADA, EVE, OTHER_ADA
from session_support.service import Service

from parley_core.auth.principal import Principal
from parley_core.storage.postgres_pool import Pool
from parley_testing.eventually import eventually


async def test_fifty_requests_at_once_never_reserve_more_than_the_budget(
    budgeted: Budgeted, serve: Any, pool: Pool
) -> None:
    session = await budgeted("{cost_per_month: 1000000000}")
    await opened(session, EVE)
    cost = await reserved_by_one(session, EVE)
    assert 1_000 < cost < 1_100  # The longest reply, and a short prompt.

    session = await budgeted(f"{{cost_per_month: {7 * cost + cost - 1}}}")
    other: Service = await serve(
        limits_file=session.settings.limits_file, session_models_path=session.settings.models_path
    )
    sessions = [await started(session) for _ in range(50)]
    responses = await asyncio.gather(
        *(submitted((session, other)[number % 2], each) for number, each in enumerate(sessions))
    )
    assert Counter(response.status for response in responses) == {201: 7, 429: 43}
    refused = next(response for response in responses if response.status == 429)
    assert refused.error == (429, "quota_exceeded", "cost_per_month")
    # There is room as soon as replies have ended.
    assert refused.headers["retry-after"] == "1"
    assert await pool.fetchval("SELECT count(*) FROM turns") == 8
    assert await standing(session) == {"cost_per_month": (0, 7 * cost)}


async def test_a_reply_settles_at_what_it_cost(budgeted: Budgeted) -> None:
    session = await budgeted("{cost_per_day: 5000, cost_per_month: 9000}")
    turn = await opened(session)
    (spent, reserved), _ = (await standing(session)).values()
    assert spent == 0
    assert reserved > COST
    await end(session, turn)
    assert await standing(session) == {"cost_per_day": (COST, 0), "cost_per_month": (COST, 0)}
    limits = (await session.call("GET", "/limits")).body["limits"]
    assert {each["currency"] for each in limits} == {"USD"}
    assert all(each["resets_at"].endswith("T00:00:00Z") for each in limits)
    assert limits[1]["resets_at"][8:10] == "01"


async def test_what_a_reply_costs_beyond_its_reservation_refuses_the_next_one(
    budgeted: Budgeted,
) -> None:
    session = await budgeted("{cost_per_day: 1500}")
    turn = await opened(session)
    await end(session, turn, usage={"prompt_tokens": 60, "completion_tokens": 200})
    assert await standing(session) == {"cost_per_day": (2_060, 0)}
    refused = await opened(session)
    assert refused.error == (429, "quota_exceeded", "cost_per_day")
    assert 1 <= int(refused.headers["retry-after"]) <= 86_400
    assert refused.headers["x-should-retry"] == "false"
    message = refused.body["error"]["message"]
    assert "0.001500 USD per day" in message
    assert "T00:00:00Z" in message
    assert (await opened(session, EVE)).status == 201


async def test_the_limit_of_a_reply_in_a_request_lowers_what_is_reserved(
    budgeted: Budgeted,
) -> None:
    session = await budgeted("{cost_per_day: 100000}")
    reserved = []
    for given in (
        *({"max_tokens": each} for each in (10, 100, -1_000, 10**9, "10")),
        {"max_completion_tokens": 10, "max_tokens": 100},
    ):
        body = {"content": "Hello?", "parameters": given}
        path = f"/sessions/{await started(session)}/messages"
        assert (await session.call("POST", path, body)).status == 201
        reserved.append(await reserved_by_one(session))
    first, *others = [after - before for before, after in pairwise([0, *reserved])]
    assert others == [first + 900] * 5


async def test_a_new_day_and_a_new_month_admit_again(budgeted: Budgeted, pool: Pool) -> None:
    session = await budgeted("{cost_per_day: 1500}, {scope: monthly, cost_per_month: 1500}")
    monthly = Principal("default", "eve", frozenset({"monthly"}))
    for who in (ADA, monthly):
        turn = await opened(session, who)
        assert turn.status == 201
        await end(session, turn, who, usage={"prompt_tokens": 0, "completion_tokens": 140})
        assert (await opened(session, who)).status == 429
    await pool.execute("UPDATE daily_costs SET day = day - interval '1 month'")
    for who in (ADA, monthly):
        assert (await opened(session, who)).status == 201


async def test_failed_and_cancelled_replies_settle_at_what_they_cost(budgeted: Budgeted) -> None:
    session = await budgeted("{cost_per_day: 100000}")
    failed = await opened(session)
    runner = await claimed(session, failed)
    response = await session.fail(failed.body["id"], runner, usage=USAGE, price=PRICE)
    assert response.status == 200
    assert await standing(session) == {"cost_per_day": (COST, 0)}

    for code in ("upstream_timeout", "interrupted"):
        unbilled = await opened(session)
        runner = await claimed(session, unbilled)
        assert (await session.fail(unbilled.body["id"], runner, code=code)).status == 200
    unclaimed = await opened(session)
    path = f"/turns/{unclaimed.body['id']}/cancel"
    assert (await session.call("POST", path)).status in (200, 202)
    assert await standing(session) == {"cost_per_day": (COST, 0)}


@pytest.mark.parametrize("is_cancelled", [True, False])
async def test_a_reply_whose_lease_expired_settles(
    budgeted: Budgeted, pool: Pool, is_cancelled: bool
) -> None:
    session = await budgeted("{cost_per_day: 100000}")
    turn = await opened(session)
    cost = await reserved_by_one(session)
    await claimed(session, turn)
    if is_cancelled:
        path = f"/turns/{turn.body['id']}/cancel"
        assert (await session.call("POST", path)).status in (200, 202)
    await pool.execute("UPDATE turns SET claimed_at = now() - interval '1 hour'")

    async def has_ended() -> bool:
        return bool((await session.turn(turn.body["id"]))["status"] != "running")

    await eventually(has_ended, within=30)
    # Nobody knows what it used.
    assert await standing(session) == {"cost_per_day": (cost, 0)}


@pytest.mark.parametrize("is_claimed", [True, False])
async def test_a_reply_whose_session_is_deleted_meanwhile_counts_as_reserved_if_it_ran(
    budgeted: Budgeted, is_claimed: bool
) -> None:
    session = await budgeted("{cost_per_day: 100000}")
    turn = await opened(session)
    cost = await reserved_by_one(session)
    if is_claimed:
        await claimed(session, turn)
    path = f"/sessions/{turn.body['session_id']}"
    assert (await session.call("DELETE", path)).status in (200, 204)
    assert await standing(session) == {"cost_per_day": (cost if is_claimed else 0, 0)}


async def test_completions_without_a_session_reserve_and_settle(budgeted: Budgeted) -> None:
    session = await budgeted("{cost_per_day: 1000}")
    first = await admit(session)
    assert first.status == 200
    assert await standing(session) == {"cost_per_day": (0, COMPLETION_COST)}
    await record(session, first.body["id"])
    await record(session, first.body["id"])  # Once, however often it is reported.
    assert await standing(session) == {"cost_per_day": (COST, 0)}
    second = await admit(session)
    assert (second.status, await standing(session)) == (200, {"cost_per_day": (COST, 250)})
    assert (await admit(session)).status == 200
    assert (await admit(session)).error == (429, "quota_exceeded", "cost_per_day")
    # One that did not run.
    released = await session.call("DELETE", f"/completions/admission/{second.body['id']}")
    assert released.status == 200
    assert (await admit(session)).status == 200


async def test_the_reservation_of_a_lost_completion_expires_and_its_cost_still_counts(
    budgeted: Budgeted, pool: Pool
) -> None:
    session = await budgeted("{cost_per_day: 400}")
    lost = await admit(session)
    assert (await admit(session)).status == 429
    await pool.execute("UPDATE cost_reservations SET expires_at = now()")
    assert (await admit(session)).status == 200
    await record(session, lost.body["id"])
    assert (await standing(session))["cost_per_day"] == (COST, COMPLETION_COST)


async def test_budgets_of_an_api_key_and_of_a_tenant_count_in_addition_to_that_of_a_person(
    budgeted: Budgeted,
) -> None:
    session = await budgeted(
        f"{{cost_per_day: 9000}}, {{api_key: {API_KEY}, cost_per_day: 1500}},"
        "{per: tenant, cost_per_day: 3500}"
    )
    program = Principal("default", "ada", api_key=API_KEY)
    for who, status in ((program, 201), (program, 429), (ADA, 201), (EVE, 201), (EVE, 429)):
        assert (await opened(session, who)).status == status
    assert (await opened(session, OTHER_ADA)).status == 201


async def test_a_key_with_a_budget_of_its_own_leaves_the_rest_to_its_owner(
    budgeted: Budgeted,
) -> None:
    session = await budgeted("{cost_per_day: 9000}")
    body = {"name": "a program", "limits": {"cost_per_day": 1_500}}
    key = (await session.call("POST", "/api-keys", body)).body
    program = Principal("default", "ada", api_key=key["id"])
    for who, status in ((program, 201), (program, 429), (ADA, 201)):
        assert (await opened(session, who)).status == status
    assert (await admit(session, program)).status == 200
    assert (await admit(session, program)).error == (429, "quota_exceeded", "cost_per_day")


async def test_a_model_without_a_known_price_is_refused_to_those_with_a_budget(
    budgeted: Budgeted,
) -> None:
    session = await budgeted("{user: ada, cost_per_day: 9000}")
    body = {"model": "unknown"}
    refused = await session.call("POST", "/completions/admission", body)
    assert refused.error == (404, "model_not_found", "model")
    admitted = await session.call("POST", "/completions/admission", body, who=EVE)
    assert (admitted.status, admitted.body) == (200, {})


async def test_without_a_budget_nothing_is_reserved(budgeted: Budgeted, pool: Pool) -> None:
    session = await budgeted("{user: eve, cost_per_day: 1000}, {turns_per_minute: 100}")
    turn = await opened(session)
    assert await pool.fetchval("SELECT count(*) FROM cost_reservations") == 0
    await end(session, turn)

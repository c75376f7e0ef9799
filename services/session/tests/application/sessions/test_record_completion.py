"""Usage records of stateless completions: one event each, not readable as sessions."""

import asyncio
import json
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from session_support.client import ADA, EVE, ApiResponse
from session_support.components import components_on, deletion_on
from session_support.service import Service
from session_support.serving_completions import serve_completion

from parley_core.auth.principal import Principal
from parley_core.storage.postgres_pool import Pool
from parley_events.session import CompletionServed
from parley_session.application.retention import Retention, RetentionLimits
from parley_session.domain.retention_policy import RetentionPolicies, RetentionPolicy
from parley_session.domain.session.state import BrokenStream, fold

USAGE = {"prompt_tokens": 7, "completion_tokens": 2, "estimated": False}
PRICE = {"currency": "USD", "prompt": 100, "completion": 400}


async def record(
    session: Service, completion_id: str, who: Principal = ADA, **given: Any
) -> ApiResponse:
    body = {"id": completion_id, "model": "demo", "status": "completed", "usage": USAGE} | given
    return await session.call("POST", "/completions", body, who=who, issuer="inference")


async def test_the_usage_of_a_completion_is_the_only_event_of_its_stream(
    session: Service, pool: Pool
) -> None:
    completion_id = str(uuid4())
    response = await record(session, completion_id, status="cut", price=PRICE)
    assert (response.status, response.body) == (200, {})
    [event] = await pool.fetch("SELECT * FROM events")
    assert (str(event["session_id"]), event["sequence"]) == (completion_id, 1)
    assert event["type"] == CompletionServed.TYPE
    data = json.loads(event["data"])
    assert data.pop("request_id")
    assert data == {
        "actor": {"tenant": "default", "user": "ada", "system": False},
        "owner": "ada",
        "tenant": "default",
        "model": "demo",
        "status": "cut",
        "usage": USAGE,
        "price": PRICE,
    }
    [row] = await pool.fetch("SELECT * FROM sessions")
    assert (row["version"], row["wrapped_key"], row["assistant_id"]) == (1, None, None)
    [queued] = await pool.fetch("SELECT session_id, sequence, bytes FROM outbox")
    assert (*queued,) == (event["session_id"], 1, len(event["data"]))


async def test_a_completion_is_recorded_once_whatever_a_retry_contains(
    session: Service, pool: Pool
) -> None:
    completion_id = str(uuid4())
    responses = await asyncio.gather(*(record(session, completion_id) for _ in range(5)))
    responses.append(await record(session, completion_id, status="failed"))
    assert {response.status for response in responses} == {200}
    assert await pool.fetchval("SELECT count(*) FROM events") == 1
    assert await pool.fetchval("SELECT count(*) FROM outbox") == 1


async def test_the_id_of_another_stream_is_rejected(session: Service) -> None:
    completion_id, session_id = str(uuid4()), (await session.start())["id"]
    await record(session, completion_id)
    for taken, who in ((completion_id, EVE), (session_id, ADA)):
        assert (await record(session, taken, who)).error == (409, "session_id_unavailable", "id")
    started = await session.call("POST", "/sessions", {"id": completion_id})
    assert started.error == (409, "session_id_unavailable", "id")


async def test_a_completion_cannot_be_used_as_a_session(session: Service, pool: Pool) -> None:
    completion_id = str(uuid4())
    await record(session, completion_id)
    one = f"/sessions/{completion_id}"
    for method, path, body in (
        ("GET", one, None),
        ("PATCH", one, {"title": "Mine"}),
        ("DELETE", one, None),
        ("POST", f"{one}/restore", None),
        ("POST", f"{one}/fork", {}),
        ("POST", f"{one}/messages", {"content": "hello"}),
        ("POST", f"{one}/regenerate", {}),
        ("POST", f"{one}/import", {"messages": [{"role": "user", "content": "hello"}]}),
    ):
        response = await session.call(method, path, body)
        assert response.error == (404, "session_not_found", None), path
    keys = {"session_ids": [completion_id]}
    keys = (await session.call("POST", "/keys", keys, issuer="history")).body["keys"]
    assert keys == {completion_id: None}
    people = {"people": [{"tenant": "default", "user": "ada"}]}
    search_keys = await session.call("POST", "/search-keys", people, issuer="history")
    assert search_keys.body["keys"][0]["key"] is None
    erased = (await session.call("DELETE", "/sessions")).body
    assert (erased["erased"], erased["held"], erased["has_more"]) == (0, 0, False)
    assert await pool.fetchval("SELECT count(*) FROM events") == 1
    # It is not reported as recently erased either.
    beat = await session.end(f"/runners/{uuid4()}/heartbeat", {"turns": [], "capacity": 1})
    assert beat.body == {"stop": [], "erased": []}


async def test_retention_does_not_erase_completions(pool: Pool) -> None:
    old = await serve_completion(pool, ago=timedelta(days=300))
    policies, limits = (
        RetentionPolicies([RetentionPolicy(idle_days=1)]),
        RetentionLimits(0.02, 100, 100),
    )
    assert await Retention(pool, deletion_on(pool), policies, limits).tick() == 0
    assert await pool.fetchval("SELECT version FROM sessions WHERE id = $1", old) == 1


async def test_only_inference_records_completions_and_only_valid_ones(session: Service) -> None:
    body = {"id": str(uuid4()), "model": "demo", "status": "completed", "usage": USAGE}
    rejected = await session.call("POST", "/completions", body, issuer="gateway")
    assert rejected.error == (403, "service_not_allowed", None)
    for wrong, param in (
        ({"id": "x"}, "id"),
        ({"status": "cancelled"}, "status"),
        ({"usage": None}, "usage"),
        ({"usage": {"prompt_tokens": -1, "completion_tokens": 0}}, "usage.prompt_tokens"),
        ({"model": ""}, "model"),
        ({"content": "hello"}, None),
    ):
        response = await record(session, **{"completion_id": str(uuid4())} | wrong)
        assert response.error[:2] == (400, "invalid_request")
        assert param is None or response.error[2] == param


async def test_no_event_can_follow_a_completion(pool: Pool) -> None:
    completion_id = await serve_completion(pool)
    events = await components_on(pool).store.events_at(completion_id, [1])
    state = fold(events)
    assert state is not None
    assert (state.owner, state.version, state.erased) == ("ada", 1, True)
    with pytest.raises(BrokenStream):
        fold(events, state)

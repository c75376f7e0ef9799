"""A database outage: calls answer 503 meanwhile, and nothing is stored partially."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from session_support.client import HISTORY, ApiResponse, completion
from session_support.service import Service

from parley_core.storage.postgres_pool import Pool
from parley_testing.eventually import eventually
from parley_testing.faulty_proxy import FaultyProxy

STORE_SECONDS = 1
AWAY = (503, "event_store_unavailable", None)


@pytest.fixture
async def proxy(store_database: str) -> AsyncIterator[FaultyProxy]:
    async with FaultyProxy.to(store_database) as proxy:
        yield proxy


@pytest.fixture
async def session(serve: Any, proxy: FaultyProxy) -> Service:
    service: Service = await serve(
        database=proxy.database,
        session_database_timeout_seconds=STORE_SECONDS,
        session_database_max_connections=3,
        SWEEP_INTERVAL_SECONDS=0.05,
    )
    return service


def every_call(session: Service, session_id: str, turn_id: str) -> list[Any]:
    runner = str(uuid4())
    inference: dict[str, Any] = {"issuer": "inference"}
    return [
        session.call("POST", "/sessions", {}),
        session.call("GET", f"/sessions/{session_id}"),
        session.call("POST", "/switch-assistant", {"assistant_id": "helper"}),
        session.call("POST", f"/sessions/{session_id}/messages", {"content": "hello"}),
        session.call("GET", f"/turns/{turn_id}"),
        session.call("POST", f"/turns/{turn_id}/claim", {"runner": runner}, **inference),
        session.call("POST", f"/turns/{turn_id}/complete", completion(runner), **inference),
        session.call(
            "POST", f"/runners/{runner}/heartbeat", {"turns": [], "capacity": 1}, **inference
        ),
        session.call("POST", "/keys", {"session_ids": [session_id]}, who=HISTORY, issuer="history"),
    ]


async def ready(session: Service) -> tuple[int, Any]:
    async with session.http.get(session.url + "/readyz") as response:
        return response.status, await response.json()


async def test_calls_fail_during_a_database_outage_and_recover_after_it(
    session: Service, proxy: FaultyProxy
) -> None:
    turn = await session.open_turn()
    session_id = turn["session_id"]
    proxy.close()
    for call in every_call(session, session_id, turn["id"]):
        response = await call
        assert response.error == AWAY
        assert response.headers["retry-after"] == "1"
    # Another process could not serve either: taking this one out of rotation would not help.
    assert await ready(session) == (200, {"status": "ok"})
    proxy.open()

    async def is_available() -> bool:
        return (await session.call("GET", f"/turns/{turn['id']}")).status == 200

    await eventually(is_available)
    runner = str(uuid4())
    assert (await session.claim(turn["id"], runner))["claimed"]
    assert (await session.complete(turn["id"], runner)).body["status"] == "completed"


async def test_calls_time_out_while_the_database_does_not_answer(
    session: Service, proxy: FaultyProxy
) -> None:
    turn = await session.open_turn()
    proxy.silence()
    clock = asyncio.get_running_loop()
    began = clock.time()
    # More calls than connections: waiting for a connection is bounded too.
    calls = [
        call for _ in range(10) for call in every_call(session, turn["session_id"], turn["id"])
    ]
    responses: list[ApiResponse] = await asyncio.gather(*calls)
    took = clock.time() - began
    assert {response.error for response in responses} == {AWAY}
    # One timeout for the connection, one for the response, and some slack.
    assert took < 2 * STORE_SECONDS + 3
    proxy.open()

    async def is_ready() -> bool:
        return (await ready(session))[0] == 200

    await eventually(is_ready)
    assert (await session.claim(turn["id"], str(uuid4())))["claimed"]


async def test_a_submit_retried_after_a_lost_response_is_stored_once(
    session: Service, proxy: FaultyProxy, pool: Pool
) -> None:
    session_id = (await session.start())["id"]
    path, body = f"/sessions/{session_id}/messages", {"content": "hello"}
    async with pool.acquire() as lock, lock.transaction():
        await lock.execute("LOCK turns IN SHARE MODE")
        response = await session.call("POST", path, body, key="k1")
        assert response.error == AWAY
    response = await session.call("POST", path, body, key="k1")
    assert response.status in (200, 201)
    assert (await session.call("GET", f"/sessions/{session_id}")).body["version"] == 3


async def test_logged_database_errors_name_the_class_and_quote_nothing(
    session: Service, proxy: FaultyProxy, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    started = await session.start()
    proxy.close()
    path = f"/sessions/{started['id']}/messages"
    await session.call("POST", path, {"content": "private words"}, key="private-key")
    assert "the event store failed: " in caplog.text
    assert "private" not in caplog.text
    assert str(urlsplit(proxy.database).password) not in caplog.text


async def test_a_read_only_database_is_unavailable(
    serve: Any, store_database: str, caplog: pytest.LogCaptureFixture
) -> None:
    # A standby answers like this until it is promoted.
    read_only = urlsplit(store_database)._replace(query="default_transaction_read_only=on")
    session = await serve(database=read_only.geturl())
    assert (await session.call("POST", "/sessions", {})).error == AWAY
    assert "the event store failed: ReadOnlySQLTransactionError" in caplog.text

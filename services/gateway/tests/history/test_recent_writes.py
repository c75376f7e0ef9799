"""Read-your-writes: reads include the own writes; erased sessions are gone at once."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest
from gateway_fakes.gateway import SESSION_ID, Gateway, another_id
from gateway_fakes.history import History
from gateway_fakes.inference import Inference, Stalls, deltas
from gateway_fakes.issuer import token
from gateway_fakes.service import error, raw
from gateway_fakes.session import FakeSessionService

from parley_contracts import turn_sse as sse
from parley_core.auth.principal import Principal
from parley_gateway.history.recent_writes import RecentWrites
from parley_testing.eventually import eventually

SESSION = f"/v1/sessions/{SESSION_ID}"
HISTORY = f"/v1/history/{SESSION_ID}"
ADA, EVE = Principal("default", "ada"), Principal("default", "eve")


def answer(version: Any, **more: Any) -> Any:
    return raw(json.dumps({"id": str(SESSION_ID), "version": version, **more}).encode())


async def asked_for(gateway: Gateway, history: History, query: Any = "") -> Any:
    """The version that history is to wait for."""
    await gateway.get(f"{HISTORY}{query}")
    return history.reads[-1].query.get("seen")


@pytest.mark.parametrize(
    ("method", "path", "body", "answered"),
    [
        ("PATCH", SESSION, {"title": "A"}, {"id": str(SESSION_ID)}),
        ("POST", f"{SESSION}/restore", {}, {"id": str(SESSION_ID)}),
        ("POST", "/v1/sessions", {}, {"id": str(SESSION_ID)}),
        ("POST", f"/v1/sessions/{another_id()}/fork", {}, {"id": str(SESSION_ID)}),
        ("POST", "/v1/switch-assistant", {"assistant_id": "a"}, None),
        (
            "POST",
            HISTORY,
            {"messages": [{"role": "user", "content": "a"}]},
            {"session_id": str(SESSION_ID)},
        ),
        (
            "POST",
            f"/v1/turns/{another_id()}/cancel",
            {},
            {"id": another_id(), "session_id": str(SESSION_ID)},
        ),
        (
            "GET",
            f"/v1/turns/{another_id()}",
            None,
            {"id": another_id(), "session_id": str(SESSION_ID)},
        ),
    ],
)
async def test_the_next_page_includes_the_effect_of_a_command(
    gateway: Gateway,
    session: FakeSessionService,
    history: History,
    method: Any,
    path: Any,
    body: Any,
    answered: Any,
) -> None:
    versioned = answered and {**answered, "version": 7}
    switched = {"session": {"id": str(SESSION_ID), "version": 7}}
    session.answers.append(raw(json.dumps(versioned or switched).encode()))
    async with gateway.request(method, path, body=body) as done:
        assert done.status == 200
    assert await asked_for(gateway, history) == "7"
    await gateway.get("/v1/sessions")
    assert history.calls[-1].query["seen"] == f"{SESSION_ID}:7"


async def test_a_higher_min_version_wins_and_pages_of_the_past_are_not_affected(
    gateway: Gateway, session: FakeSessionService, history: History
) -> None:
    session.answers.append(answer(7))
    await gateway.post("/v1/sessions", {})
    assert await asked_for(gateway, history, "?min_version=9") is None
    assert await asked_for(gateway, history, "?min_version=3") == "7"
    assert history.reads[-1].query["min_version"] == "3"
    assert await asked_for(gateway, history, "?as_of=6") is None
    assert await asked_for(gateway, history, "?as_of=7") == "7"
    assert await asked_for(gateway, history, "?as_of=2026-01-01T00:00:00Z") == "7"


async def test_a_version_that_does_not_exist_yet_is_rejected(
    gateway: Gateway, session: FakeSessionService, history: History
) -> None:
    history.project(SESSION_ID, 4)
    session.answers.extend((answer(6), answer(6)))
    refused = await gateway.expect_error("GET", f"{HISTORY}?min_version=7")
    assert refused == (400, "invalid_request", "min_version")
    for _ in ("session has the version", "session is unavailable"):
        refused = await gateway.expect_error("GET", f"{HISTORY}?min_version=6")
        assert refused[:2] == (503, "projection_behind")
        session.is_unavailable = True


async def test_a_deleted_session_is_not_waited_for(
    gateway: Gateway, session: FakeSessionService, history: History
) -> None:
    history.project(SESSION_ID, 4)
    session.answers.extend((answer(6, erased=False), error(404, "session_not_found")))
    await gateway_delete(gateway, SESSION)
    assert (await gateway.expect_error("GET", HISTORY))[:2] == (404, "session_not_found")


async def test_recent_writes_affect_only_their_author(
    gateway: Gateway, session: FakeSessionService, history: History
) -> None:
    session.answers.append(answer(7))
    await gateway.post("/v1/sessions", {})
    await gateway.get(HISTORY, bearer=token(sub="eve"))
    assert "seen" not in history.reads[-1].query
    await gateway.get("/v1/sessions", bearer=token(sub="ada", tenant="other"))
    assert "seen" not in history.calls[-1].query


async def test_the_next_page_includes_a_turn_at_its_start_and_at_its_end(
    gateway: Gateway, session: FakeSessionService, inference: Inference, history: History
) -> None:
    ended = asyncio.Event()
    inference.script(deltas("a"), ended, lambda: sse.ended(session.end("a")))
    async with gateway.stream() as stream:
        await stream.until_text(1)
        assert await asked_for(gateway, history) == "3"
        ended.set()
        await stream.events()
    assert await asked_for(gateway, history) == "4"


@pytest.mark.parametrize("way", ["as JSON", "resumed"])
async def test_the_end_of_a_turn_is_recorded_for_json_and_resumed_streams(
    gateway: Gateway, session: FakeSessionService, inference: Inference, history: History, way: Any
) -> None:
    if way == "as JSON":
        inference.script(lambda: sse.ended(session.end("a")))
        assert (await gateway.submit())[0] == 200
    else:
        inference.script(Stalls())
        path = f"{SESSION}/messages"
        await gateway.post(path, {"content": "Hi", "background": True})
        session.end("a")
        async with gateway.request("GET", f"/v1/turns/{session.turn.id}/stream") as stream:
            await stream.read()
    assert await asked_for(gateway, history) == "4"


async def test_a_cached_page_older_than_a_write_is_not_served(
    start: Callable[..., Awaitable[Gateway]], session: FakeSessionService, history: History
) -> None:
    gateway = await start(constants={"history.page_cache.SETTLE_SECONDS": 0.000_001})
    await eventually(lambda: history.subscribers)
    history.project(SESSION_ID, 4, "Old")

    async def is_kept() -> Any:
        await gateway.get(HISTORY)
        return gateway.app.pages.bytes

    await eventually(is_kept)
    session.answers.extend((answer(7), answer(7)))
    await gateway.post("/v1/sessions", {})
    assert await asked_for(gateway, history) == "7"
    history.project(SESSION_ID, 7, "New")
    assert (await gateway.get(HISTORY))[1]["data"] == ["New"]


async def test_an_erased_session_is_gone_at_once_and_the_response_waits_for_history(
    gateway: Gateway, session: FakeSessionService, history: History
) -> None:
    history.project(SESSION_ID, 4, "Secret")
    known = history.before_answer
    known.clear()
    session.answers.append(answer(5, erased=True))
    erasing = asyncio.create_task(gateway_delete(gateway, SESSION))
    await eventually(lambda: history.reads)
    assert history.reads[0].query == {"limit": "1", "min_version": "5"}
    assert not erasing.done()
    for path in (HISTORY, f"{SESSION}/export"):
        assert await gateway.expect_error("GET", path) == (404, "session_not_found", None)
    known.set()
    status, body = await erasing
    assert (status, body["erased"]) == (200, True)


async def test_an_erasure_is_answered_even_when_history_is_behind(
    start: Callable[..., Awaitable[Gateway]], session: FakeSessionService, history: History
) -> None:
    gateway = await start(constants={"history.delete_sessions.VISIBILITY_TIMEOUT_SECONDS": 0.05})
    history.before_answer.clear()
    session.answers.extend((answer(5, erased=True), raw(b'{"erased": 2}')))
    assert (await gateway_delete(gateway, SESSION))[0] == 200
    history.project(SESSION_ID, 4)
    assert await gateway_delete(gateway, "/v1/sessions") == (200, {"erased": 2})
    history.is_unavailable = True
    session.answers.append(answer(5, erased=True))
    assert (await gateway_delete(gateway, SESSION))[0] == 200


async def test_erasing_all_sessions_waits_until_history_lists_none(
    gateway: Gateway, session: FakeSessionService, history: History
) -> None:
    history.project(SESSION_ID, 4)
    session.answers.append(raw(b'{"erased": 1}'))
    erasing = asyncio.create_task(gateway_delete(gateway, "/v1/sessions"))
    await eventually(lambda: history.calls)
    assert not erasing.done()
    history.erase(SESSION_ID, 5)
    assert await erasing == (200, {"erased": 1})


async def test_a_partial_erasure_does_not_wait(
    gateway: Gateway, session: FakeSessionService, history: History
) -> None:
    history.project(SESSION_ID, 4)
    session.answers.append(raw(b'{"erased": 1000, "has_more": true}'))
    assert (await gateway_delete(gateway, "/v1/sessions"))[0] == 200
    assert history.calls == []


async def test_a_restored_session_can_be_read_again(
    gateway: Gateway, session: FakeSessionService, history: History
) -> None:
    history.project(SESSION_ID, 6, "Back")
    session.answers.append(answer(5, erased=False))
    await gateway_delete(gateway, SESSION)
    session.answers.append(answer(6))
    await gateway.post(f"{SESSION}/restore", {})
    assert (await gateway.get(HISTORY))[1]["data"] == ["Back"]


async def test_a_legal_hold_is_returned_as_a_conflict(
    gateway: Gateway, session: FakeSessionService, history: History
) -> None:
    session.answers.append(error(409, "legal_hold"))
    assert await gateway.expect_error("DELETE", SESSION) == (409, "legal_hold", "p")
    assert history.calls == []


async def gateway_delete(gateway: Gateway, path: Any) -> Any:
    async with gateway.request("DELETE", path) as answer:
        return answer.status, await answer.json()


def test_recent_writes_expire_and_are_bounded() -> None:
    now = [0.0]
    moved: list[Any] = []
    writes = RecentWrites(
        moved.extend,
        ttl_seconds=30,
        max_owners=2,
        max_sessions_per_owner=2,
        clock=lambda: now[0],
    )
    first, second, third = (UUID(int=number) for number in range(3))
    for session in (first, second, third):
        writes.record(ADA, session, 4)
    assert writes.min_versions(ADA) == {"seen": f"{second}:4,{third}:4"}
    now[0] = 20
    writes.record(ADA, second, 3)
    assert moved == [first, second, third]
    now[0] = 31
    assert writes.min_versions(ADA) == {"seen": f"{second}:4"}
    for user in ("eve", "bob"):
        writes.record(Principal("default", user), first, 1)
    assert writes.min_version(ADA, second) == 0


def test_a_response_without_a_session_is_not_recorded() -> None:
    writes = RecentWrites(lambda _: None)
    assistant = f'{{"object": "assistant", "id": "{SESSION_ID}", "version": 1}}'.encode()
    for body in (
        b"",
        b"{}",
        b"[]",
        b'{"version": 3}',
        b'{"id": "helper", "version": 1}',
        assistant,
    ):
        writes.record_from_response(ADA, body)
    assert writes.min_versions(ADA) == {}

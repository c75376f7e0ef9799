"""Limit of concurrent streams, and shutdown."""

import asyncio
from collections.abc import Awaitable, Callable

from gateway_fakes.gateway import Gateway
from gateway_fakes.inference import Inference, Stalls, deltas
from gateway_fakes.issuer import token

from parley_contracts import turn_sse as sse
from parley_core.auth.principal import Principal
from parley_gateway.auth.revocation_list import RevocationList
from parley_gateway.http.stream_limiter import StreamLimiter
from parley_gateway.schemas.responses import NotReady
from parley_testing.eventually import eventually
from parley_testing.session_service import FakeSessionService


async def test_beyond_the_stream_limit_nothing_is_committed(
    start: Callable[..., Awaitable[Gateway]], session: FakeSessionService, inference: Inference
) -> None:
    gateway = await start(max_streams=1)
    paused = asyncio.Event()
    inference.script(paused, lambda: sse.ended(session.end("")))
    async with gateway.stream() as stream:
        await stream.event()
        path = f"/v1/sessions/{session.turn.session_id}/messages"
        async with gateway.request("POST", path, body={"content": "Hi"}) as refused:
            assert refused.status == 503
            assert refused.headers["retry-after"] == "1"
            assert (await refused.json())["error"]["code"] == "gateway_busy"
        assert len(session.turns) == 1
        paused.set()
        await stream.events()
    inference.script(lambda: sse.ended(session.end("")))
    assert (await gateway.submit())[0] == 200


async def test_one_person_with_their_share_of_streams_leaves_room_for_others(
    start: Callable[..., Awaitable[Gateway]], session: FakeSessionService, inference: Inference
) -> None:
    gateway = await start(max_streams=4, max_person_share=0.5)
    for _ in range(2):
        inference.script(deltas("a"), Stalls())
    async with gateway.stream() as first, gateway.stream() as second:
        await first.event()
        await second.event()
        committed = len(session.turns)
        path = f"/v1/sessions/{session.turn.session_id}/messages"
        resumed = f"/v1/turns/{session.turn.id}/stream"
        for method, url, body in (
            ("POST", path, {"content": "Hi"}),
            ("POST", path, {"content": "Hi", "stream": True}),
            ("GET", resumed, None),
            ("GET", "/v1/export", None),
        ):
            async with gateway.request(method, url, body=body) as refused:
                assert refused.status == 429, url
                assert refused.headers["retry-after"] == "1"
                assert (await refused.json())["error"]["code"] == "too_many_streams"
        assert len(session.turns) == committed
        inference.script(lambda: sse.ended(session.end("")))
        bearer = token(sub="bob")
        async with gateway.request("POST", path, body={"content": "Hi"}, bearer=bearer) as answer:
            assert answer.status == 200


async def test_at_shutdown_open_streams_end_between_events(
    gateway: Gateway, session: FakeSessionService, inference: Inference
) -> None:
    inference.script(deltas("abc") + b'id: 9\ndata: {"ha', Stalls())
    async with gateway.stream() as stream:
        await stream.until_text(3)
        gateway.app.begin_drain()
        async with asyncio.timeout(15):
            assert await stream.events() == []
    assert stream.raw.endswith(deltas("abc"))
    await eventually(lambda: inference.open == 0)


async def test_at_shutdown_a_turn_is_handed_over_before_its_stream_ends(
    start: Callable[..., Awaitable[Gateway]], session: FakeSessionService, inference: Inference
) -> None:
    gateway = await start(
        stream={"reconnect_deadline_seconds": 60},
        constants={"turns.event_relay.RECONNECT_MAX_SECONDS": 0.1},
    )
    async with gateway.stream() as stream:
        await stream.event()
        gateway.app.begin_drain()
        tried = len(inference.resume_points)
        await eventually(lambda: len(inference.resume_points) > tried)
        inference.script(Stalls())
        async with asyncio.timeout(15):
            assert await stream.events() == []


async def test_at_shutdown_new_streams_are_rejected(
    gateway: Gateway, session: FakeSessionService
) -> None:
    gateway.app.begin_drain()
    assert (await gateway.submit())[0] == 503
    assert session.turns == {}
    status, body = await gateway.get("/readyz")
    assert (status, NotReady.model_validate(body).status) == (503, "stopping")


async def test_at_shutdown_a_client_that_waits_for_a_whole_reply_gets_reply_pending(
    gateway: Gateway, session: FakeSessionService, inference: Inference
) -> None:
    inference.script(deltas("a"), Stalls())
    waiting = asyncio.create_task(gateway.submit(idempotency_key="k"))
    await eventually(lambda: inference.open)
    gateway.app.begin_drain()
    status, body = await waiting
    assert (status, body["error"]["code"]) == (504, "reply_pending")


async def test_at_shutdown_only_streams_that_can_be_resumed_end_early_one_after_the_other() -> None:
    ada, delays = Principal("acme", "ada"), iter([0.0, 1.0])
    revocations = RevocationList()
    revocations.replace([])
    limiter = StreamLimiter(
        10,
        1,
        revocations=revocations,
        drain_seconds=600,
        handover_seconds=60,
        spread=lambda: next(delays),
    )
    async with (
        limiter.slot(ada, "sse") as first,
        limiter.slot(ada, "sse") as second,
        limiter.slot(ada, "openai") as openai,
        limiter.slot(ada, "json") as whole,
        limiter.slot(ada, "export") as export,
    ):
        assert limiter.open == {"sse": 2, "openai": 1, "json": 1, "export": 1}
        limiter.drain()
        await asyncio.wait_for(first, 5)
        assert not any(each.done() for each in (second, openai, whole, export))
    assert limiter.open.total() == 0

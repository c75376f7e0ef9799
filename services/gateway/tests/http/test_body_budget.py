"""The bodies of all requests that a gateway is answering have a bound together."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from gateway_fakes.gateway import SESSION_ID, Gateway
from gateway_fakes.inference import Inference

from parley_contracts import turn_sse as sse
from parley_testing.session_service import FakeSessionService

PATH = f"/v1/sessions/{SESSION_ID}/messages"
LARGE: Any = {"content": "x" * 200_000}


async def test_a_body_for_which_there_is_no_room_is_refused_until_another_is_answered(
    start: Callable[..., Awaitable[Gateway]], session: FakeSessionService, inference: Inference
) -> None:
    gateway = await start(body={"max_total_bytes": 300_000})
    paused = asyncio.Event()
    inference.script(paused, lambda: sse.ended(session.end("")))
    async with gateway.stream(LARGE["content"]) as stream:
        await stream.event()
        async with gateway.request("POST", PATH, body=LARGE) as refused:
            assert refused.status == 503
            assert refused.headers["retry-after"] == "1"
            assert (await refused.json())["error"]["code"] == "gateway_busy"
        assert len(session.turns) == 1
        # A small one has room.
        assert (await gateway.expect_error("POST", PATH, body={}))[0] == 400
        paused.set()
        await stream.events()
    inference.script(lambda: sse.ended(session.end("")))
    assert (await gateway.post(PATH, LARGE))[0] == 200

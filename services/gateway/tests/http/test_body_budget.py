"""The bodies of all requests that a gateway is answering have a bound together."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from gateway_fakes.gateway import SESSION_ID, Gateway
from gateway_fakes.inference import Inference
from gateway_fakes.issuer import token

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
        for person, expected in (
            ("ada", (429, "too_much_content")),
            ("grace", (503, "gateway_busy")),
        ):
            bearer = token(sub=person)
            async with gateway.request("POST", PATH, body=LARGE, bearer=bearer) as refused:
                code = (await refused.json())["error"]["code"]
                assert (refused.status, code) == expected
                assert refused.headers["retry-after"] == "1"
        assert len(session.turns) == 1
        # A small one of somebody else has room.
        bearer = token(sub="grace")
        async with gateway.request("POST", PATH, body={}, bearer=bearer) as invalid:
            assert invalid.status == 400
        paused.set()
        await stream.events()
    inference.script(lambda: sse.ended(session.end("")))
    assert (await gateway.post(PATH, LARGE))[0] == 200

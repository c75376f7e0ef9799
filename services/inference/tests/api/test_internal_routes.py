"""Who may call the internal routes, which requests they accept, and readiness."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import pytest
from inference_fakes.inference import Inference, Start
from inference_fakes.model_server import ModelServer, chunk, reply

from parley_core.auth.principal import Principal
from parley_testing.event_stream import text_of
from parley_testing.eventually import eventually
from parley_testing.session_service import FakeSessionService

MALLORY = Principal("default", "mallory")


async def test_another_user_cannot_read_a_turn(
    inference: Inference, model_server: ModelServer, session: FakeSessionService
) -> None:
    turn, paused = session.open_turn(), asyncio.Event()
    model_server.script(chunk("a"), paused, *reply("b"))
    async with inference.stream(turn) as stream:
        await stream.until_text(1)
        assert await inference.error(turn.id, principal=MALLORY) == (404, "turn_not_found")
        paused.set()
        await stream.events()
    assert await inference.error(turn.id, principal=MALLORY) == (404, "turn_not_found")


async def test_an_unknown_turn_is_a_404(inference: Inference) -> None:
    assert await inference.error(uuid4()) == (404, "turn_not_found")


async def test_an_outage_of_session_before_the_first_byte_is_a_503(
    inference: Inference, session: FakeSessionService
) -> None:
    session.errors["claim"] = (503, "session_busy")
    assert await inference.error(session.open_turn().id) == (503, "session_busy")


async def test_a_failed_claim_can_be_retried(
    inference: Inference, model_server: ModelServer, session: FakeSessionService
) -> None:
    turn = session.open_turn()
    session.errors["claim"] = (503, "session_busy")
    await inference.error(turn.id)
    session.errors.clear()
    model_server.script(*reply("now"))
    assert text_of(await inference.events(turn)) == "now"


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"\xff",
        {},
        {"session_id": "x"},
        {"session_id": str(uuid4())},
        {"session_id": str(uuid4()), "after": -1},
    ],
)
async def test_a_malformed_request_is_a_400(inference: Inference, body: Any) -> None:
    assert await inference.error(uuid4(), body=body) == (400, "invalid_request")


async def test_a_large_request_is_rejected(inference: Inference) -> None:
    assert await inference.error(uuid4(), body=b" " * 20_000) == (413, "body_too_large")


@pytest.mark.parametrize(
    ("signed", "status", "code"),
    [
        ({"principal": None}, 401, "unauthenticated"),
        ({"issuer": "session"}, 401, "unauthenticated"),
        ({"issuer": "history"}, 403, "service_not_allowed"),
        ({"issuer": "inference"}, 403, "service_not_allowed"),
    ],
)
async def test_only_the_gateway_may_call(
    inference: Inference, signed: dict[str, Any], status: int, code: str
) -> None:
    assert await inference.error(uuid4(), **signed) == (status, code)
    async with inference.request("GET", "/models", **signed) as answer:
        assert answer.status == status


async def test_the_models_are_listed(inference: Inference) -> None:
    async with inference.request("GET", "/models") as answer:
        assert await answer.json() == {
            "object": "list",
            "data": [
                {
                    "id": "demo",
                    "object": "model",
                    "created": pytest.approx(time.time(), abs=600),
                    "owned_by": "parley",
                    "context_size": 128_000,
                }
            ],
        }


async def test_readiness_depends_on_the_first_heartbeat_that_session_accepts(
    start: Start, session: FakeSessionService
) -> None:
    session.errors["heartbeat"] = (503, "down")
    inference = await start()

    async def ready() -> tuple[int, list[str]]:
        async with inference.request("GET", "/readyz", principal=None) as answer:
            return answer.status, (await answer.json()).get("missing", [])

    async def ready_is(status: int, missing: Sequence[str]) -> bool:
        return await ready() == (status, [*missing])

    assert await ready() == (503, ["session"])
    async with inference.request("GET", "/livez", principal=None) as answer:
        assert answer.status == 200
    del session.errors["heartbeat"]
    await eventually(lambda: ready_is(200, []))
    session.errors["heartbeat"] = (503, "down")
    sent = len(session.heartbeats)
    await eventually(lambda: len(session.heartbeats) > sent + 1)
    assert await ready() == (200, [])

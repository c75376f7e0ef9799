"""Fake services, a token issuer, and a gateway in front of them, over real HTTP."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from gateway_fakes.gateway import Gateway, serve_gateway
from gateway_fakes.history import History
from gateway_fakes.inference import Inference
from gateway_fakes.issuer import Issuer

from parley_testing.session_service import FakeSessionService

NONE: Mapping[str, Any] = {}
QUICK_CONSTANTS = {
    "turns.event_relay.RECONNECT_INITIAL_SECONDS": 0.005,
    "turns.event_relay.RECONNECT_MAX_SECONDS": 0.02,
}
# A package that was built here for a wheel contains the page.
NO_PACKAGED_PAGE = {"page.page_files.PACKAGED": Path("/nonexistent")}


@pytest.fixture
async def session() -> AsyncIterator[FakeSessionService]:
    async with FakeSessionService.serve() as session:
        yield session


@pytest.fixture
async def inference() -> AsyncIterator[Inference]:
    async with Inference.serve() as inference:
        yield inference


@pytest.fixture
async def history() -> AsyncIterator[History]:
    async with History.serve() as history:
        yield history


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    async with Issuer.serve() as issuer:
        yield issuer


@pytest.fixture
async def start(
    session: FakeSessionService,
    inference: Inference,
    history: History,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Callable[..., Awaitable[Gateway]]]:
    """Starts a gateway with the given settings and constants, such as
    `{"turns.event_relay.MAX_EVENT_BYTES": 8_192}`.
    """
    async with AsyncExitStack() as running:

        async def start(constants: Mapping[str, Any] = NONE, **settings: Any) -> Gateway:
            for name, value in {**QUICK_CONSTANTS, **NO_PACKAGED_PAGE, **constants}.items():
                monkeypatch.setattr(f"parley_gateway.{name}", value)
            urls = {
                "session_url": session.url,
                "inference_url": inference.url,
                "history_url": history.url,
            }
            return await running.enter_async_context(serve_gateway(**urls | settings))

        yield start


@pytest.fixture
async def gateway(start: Callable[..., Awaitable[Gateway]]) -> Gateway:
    return await start()

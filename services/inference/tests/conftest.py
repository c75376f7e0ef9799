"""A scripted model server and session service, and inference between them, over real HTTP."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from inference_fakes.inference import SHORT_DELAYS, Inference, Start, serve_inference
from inference_fakes.model_server import ModelServer

from parley_testing.session_service import FakeSessionService


@pytest.fixture(autouse=True)
def short_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    for constant, value in SHORT_DELAYS.items():
        monkeypatch.setattr(f"parley_inference.{constant}", value)


@pytest.fixture
async def model_server() -> AsyncIterator[ModelServer]:
    async with ModelServer.serve() as server:
        yield server


@pytest.fixture
async def session() -> AsyncIterator[FakeSessionService]:
    async with FakeSessionService.serve() as session:
        yield session


@pytest.fixture
async def start(model_server: ModelServer, session: FakeSessionService) -> AsyncIterator[Start]:
    """Start the inference service, with the given settings."""
    async with AsyncExitStack() as running:

        async def start(**settings: Any) -> Inference:
            addresses = {"openai_base_url": model_server.url, "session_url": session.url}
            return await running.enter_async_context(serve_inference(**addresses | settings))

        yield start


@pytest.fixture
async def inference(start: Start) -> Inference:
    return await start()

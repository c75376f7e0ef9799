"""A model server and a session service to script, and inference between them, over real HTTP."""

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from inference_peers.inference import Inference, serve_inference
from inference_peers.model_server import ModelServer
from inference_peers.session import Session


@pytest.fixture
async def model_server() -> AsyncIterator[ModelServer]:
    async with ModelServer.serve() as server:
        yield server


@pytest.fixture
async def session() -> AsyncIterator[Session]:
    async with Session.serve() as session:
        yield session


@pytest.fixture
async def start(
    model_server: ModelServer, session: Session
) -> AsyncIterator[Callable[..., Awaitable[Inference]]]:
    """Starts an inference process, with settings of its own where given."""
    async with AsyncExitStack() as running:

        async def start(**settings: Any) -> Inference:
            addresses = {"OPENAI_BASE_URL": model_server.url, "session_url": session.url}
            return await running.enter_async_context(serve_inference(**addresses | settings))

        yield start


@pytest.fixture
async def inference(start: Callable[..., Awaitable[Inference]]) -> Inference:
    return await start()

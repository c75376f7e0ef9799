"""Scripted services, an issuer of tokens, and a gateway before them, over real HTTP."""

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from gateway_peers.gateway import Gateway, serve_gateway
from gateway_peers.history import History
from gateway_peers.inference import Inference
from gateway_peers.issuer import JWT_SECRET, Issuer
from gateway_peers.session import Session


@pytest.fixture
async def session() -> AsyncIterator[Session]:
    async with Session.serve() as session:
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
    session: Session, inference: Inference, history: History
) -> AsyncIterator[Callable[..., Awaitable[Gateway]]]:
    """Starts a gateway, with settings of its own where given."""
    async with AsyncExitStack() as running:

        async def start(**settings: Any) -> Gateway:
            given = {
                "session_url": session.url,
                "inference_url": inference.url,
                "history_url": history.url,
            }
            if "jwks_url" not in settings:
                given["jwt_secret"] = JWT_SECRET
            return await running.enter_async_context(serve_gateway(**given | settings))

        yield start


@pytest.fixture
async def gateway(start: Callable[..., Awaitable[Gateway]]) -> Gateway:
    return await start()

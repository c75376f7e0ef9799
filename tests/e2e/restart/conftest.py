"""The stack of these tests, which was stopped and started again with another model."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from e2e_support.model_server import ModelServer
from e2e_support.restarted import Restarted
from e2e_support.stack import new_stack


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def restarted(model_server: ModelServer, engine_cache: Path) -> AsyncIterator[Restarted]:
    async with new_stack(engine_cache) as stack:
        ada = stack.user("ada")
        async with stack.running():
            assert "demo-model" in await stack.status()
            session = await ada.start_session()
            first_list = await ada.request("GET", "/sessions")
            introduction = "Hello! My name is Ada Lovelace."
            turns = [await ada.send(session, each) for each in (introduction, "What is my name?")]
        async with stack.running(**model_server.settings):
            yield Restarted(stack, ada, session, turns, first_list)

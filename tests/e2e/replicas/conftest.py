"""The stack of these tests: two of every process of Parley."""

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio
from e2e_support.model_server import ModelServer
from e2e_support.stack import Stack, new_stack
from e2e_support.user import User

REPLICAS = "gateway=2,session=2,inference=2,history-project=2,history-serve=2"


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def stack(model_server: ModelServer, engine_cache: Path) -> AsyncIterator[Stack]:
    async with (
        new_stack(engine_cache) as stack,
        stack.running("--replicas", REPLICAS, **model_server.settings),
    ):
        yield stack


@pytest.fixture
def clients(stack: Stack) -> list[User]:
    """One user as a client of each gateway."""
    name = f"ada-{uuid4()}"
    return [stack.user(name, gateway=stack.address(each)) for each in ("gateway", "gateway-2")]

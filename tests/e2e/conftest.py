"""One stack for the whole run, in front of a model server that the tests script."""

import sys
from collections.abc import AsyncIterator, Generator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio

sys.path.insert(0, str(Path(__file__).parent))

from stack.model_server import ModelServer
from stack.parley import Stack, a_stack
from stack.person import Person

# Short, so that a model server that stalls is noticed within a test.
SETTINGS = {
    "PARLEY_INFERENCE_UPSTREAM_FIRST_TOKEN_SECONDS": "3",
    "PARLEY_INFERENCE_UPSTREAM_BETWEEN_TOKENS_SECONDS": "3",
    # Servers fail here on purpose, one test after the other; no test is to meet another's circuit.
    "PARLEY_INFERENCE_UPSTREAM_CIRCUIT_FAILURE_THRESHOLD": "1000",
    # Many small batches, so that a projector can be killed between and within them.
    "PARLEY_PROJECTOR_RECORDS": "5",
    "PARLEY_POLICIES": str(Path(__file__).with_name("policies.yaml")),
    "PARLEY_SESSION_RETENTION_SECONDS": "0.5",
}


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def model_server() -> AsyncIterator[ModelServer]:
    async with ModelServer.serve() as server:
        yield server


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def stack(
    model_server: ModelServer, engine_cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stack]:
    """The stack that all tests share: what they do is told apart by its people and sessions."""
    models = model_server.write_models(tmp_path_factory.mktemp("models") / "models.yaml")
    async with (
        a_stack(engine_cache) as stack,
        stack.running(**model_server.settings, **models, **SETTINGS),
    ):
        yield stack


@pytest.fixture
def ada(stack: Stack) -> Person:
    """Somebody whom no other test knows."""
    return stack.person(f"ada-{uuid4()}")


@pytest_asyncio.fixture(loop_scope="session")
async def own_stack(engine_cache: Path) -> AsyncIterator[Stack]:
    """A stack of this test alone, which the test starts and ends."""
    async with a_stack(engine_cache) as stack:
        yield stack


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show with a failure what the processes logged: their folder is gone afterwards."""
    report = yield
    if report.failed and report.when == "call":
        fixtures: dict[str, Any] = getattr(item, "funcargs", {})
        stacks = [fixture for fixture in fixtures.values() if isinstance(fixture, Stack)]
        report.sections += [("the end of each log", stack.last_lines()) for stack in stacks]
    return report

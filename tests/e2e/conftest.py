"""The stack that the tests of this folder share, and the scripted model server behind it.

Tests that need another stack are in a subfolder, whose conftest.py has its `stack`. In a parallel
run, the tests of one folder stay in one worker.
"""

from collections.abc import AsyncIterator, Generator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from e2e_support.model_server import ModelServer
from e2e_support.stack import Stack, new_stack
from e2e_support.user import User

# Short, so that a stalled model server times out within a test.
SETTINGS = {
    "PARLEY_INFERENCE_UPSTREAM_FIRST_TOKEN_SECONDS": "3",
    "PARLEY_INFERENCE_UPSTREAM_BETWEEN_TOKENS_SECONDS": "3",
    # Tests make model servers fail on purpose: the circuit breaker must not open for later tests.
    "PARLEY_INFERENCE_UPSTREAM_CIRCUIT_FAILURE_THRESHOLD": "1000",
    "PARLEY_POLICIES": str(Path(__file__).with_name("policies.yaml")),
}


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def model_server() -> AsyncIterator[ModelServer]:
    async with ModelServer.serve() as server:
        yield server


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def stack(
    model_server: ModelServer, engine_cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stack]:
    """The stack of this folder; each test uses its own users and sessions."""
    models = model_server.write_models(tmp_path_factory.mktemp("models") / "models.yaml")
    async with (
        new_stack(engine_cache) as stack,
        stack.running(**model_server.settings, **models, **SETTINGS),
    ):
        yield stack


@pytest.fixture
def ada(stack: Stack) -> User:
    """A user of this test alone."""
    return stack.user(f"ada-{uuid4()}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the processes' last log lines to a failure: the log files are deleted afterwards."""
    report = yield
    if report.failed and report.when == "call":
        fixtures: dict[str, Any] = getattr(item, "funcargs", {})
        stacks = [fixture for fixture in fixtures.values() if isinstance(fixture, Stack)]
        report.sections += [("last lines of each log", stack.log_tails()) for stack in stacks]
    return report

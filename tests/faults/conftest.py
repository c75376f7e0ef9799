"""Stacks under load, in which everything is killed again and again: `make test-faults`."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "e2e"))

from stack.model_server import ModelServer
from stack.parley import Stack, a_stack


@pytest.fixture
async def model_server() -> AsyncIterator[ModelServer]:
    async with ModelServer.serve() as server:
        yield server


@pytest.fixture
async def stack(engine_cache: Path) -> AsyncIterator[Stack]:
    async with a_stack(engine_cache) as stack:
        yield stack

"""Faults under load, and repairs: kills, lost topics, undecodable records, restored backups."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from e2e_support.model_server import ModelServer
from e2e_support.stack import Stack, new_stack


@pytest.fixture
async def model_server() -> AsyncIterator[ModelServer]:
    async with ModelServer.serve() as server:
        yield server


@pytest.fixture
async def stack(engine_cache: Path) -> AsyncIterator[Stack]:
    async with new_stack(engine_cache) as stack:
        yield stack

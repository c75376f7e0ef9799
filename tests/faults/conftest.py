"""Stacks under load, in which everything is killed again and again: `make test-faults`."""

import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "e2e"))

from stack.model_server import ModelServer
from stack.parley import Stack


@pytest.fixture
async def model_server() -> AsyncIterator[ModelServer]:
    async with ModelServer.serve() as server:
        yield server


@pytest.fixture
def folder() -> Iterator[Path]:
    # Not below pytest's own folder: each run closes that one to all but root, and PostgreSQL
    # does not run as root.
    with tempfile.TemporaryDirectory(prefix="parley-faults-") as folder:
        yield Path(folder)


@pytest.fixture
async def stack(folder: Path, engine_cache: Path) -> AsyncIterator[Stack]:
    stack = Stack(folder, engine_cache)
    yield stack
    await stack.close()

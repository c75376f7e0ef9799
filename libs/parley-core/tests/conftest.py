"""What the tests of the log share; the broker of the whole run is in the root's conftest."""

import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from parley_cli.engines import KafkaServer, free_port
from parley_core.log import Brokers, TopicSpec, ensure_topic

ROOT = Path(__file__).parents[3]
CACHE = Path(os.environ.get("PARLEY_TEST_CACHE") or ROOT / ".parley" / "cache")


@pytest.fixture
async def kafka(tmp_path: Path) -> AsyncIterator[KafkaServer]:
    """A server of this test alone, which may kill it and start it again."""
    server = KafkaServer(tmp_path, CACHE, free_port(), free_port())
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def topic(kafka_bootstrap: str, topic: str) -> str:
    """A topic of this test alone, with 4 partitions."""
    await ensure_topic(Brokers(kafka_bootstrap), TopicSpec(topic, 4, 1, 1))
    return topic

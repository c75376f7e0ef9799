"""What the tests of the log share; the broker of the whole run is in the root's conftest."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from parley_core.log import Brokers, ensure_topic
from parley_events.topics import TopicSpec


@pytest.fixture
async def topic(kafka_bootstrap: str, topic: str) -> str:
    """A topic of this test alone, with 4 partitions."""
    await ensure_topic(Brokers(kafka_bootstrap), TopicSpec(topic, 4, 1, 1))
    return topic

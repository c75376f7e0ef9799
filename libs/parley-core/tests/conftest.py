"""Fixtures of parley-core's tests; the engines are fixtures of the repository's conftest."""

import pytest

from parley_core.log import Brokers, ensure_topic
from parley_events.topics import TopicSpec


@pytest.fixture
async def topic(kafka_bootstrap: str, topic: str) -> str:
    """A new topic with 4 partitions."""
    await ensure_topic(Brokers(kafka_bootstrap), TopicSpec(topic, 4, 1, 1))
    return topic

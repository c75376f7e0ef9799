import asyncio
from typing import Any
from uuid import uuid4

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from parley_cli.engines import free_port
from parley_core.log import Brokers, LogError, TopicMismatch, ensure_topic
from parley_events.topics import TopicSpec


@pytest.fixture
def spec() -> Any:
    return TopicSpec(f"test.{uuid4().hex}", 3, 1, 1)


async def test_concurrent_callers_create_a_topic_once(kafka_bootstrap: str, spec: Any) -> None:
    await asyncio.gather(*(ensure_topic(Brokers(kafka_bootstrap), spec) for _ in range(4)))
    await ensure_topic(Brokers(kafka_bootstrap), spec)

    admin = AIOKafkaAdminClient(bootstrap_servers=kafka_bootstrap)
    await admin.start()
    [topic] = await admin.describe_topics([spec.name])
    await admin.close()
    assert len(topic["partitions"]) == 3


async def test_a_topic_with_another_number_of_partitions_is_rejected(
    kafka_bootstrap: str, spec: Any
) -> None:
    await ensure_topic(Brokers(kafka_bootstrap), spec)

    with pytest.raises(TopicMismatch, match=r"partitions is 3 and must be 5\.$"):
        await ensure_topic(Brokers(kafka_bootstrap), TopicSpec(spec.name, 5, 1, 1))


async def test_a_topic_with_settings_that_lose_records_is_rejected(
    kafka_bootstrap: str, spec: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(TopicSpec, "settings", {"retention.ms": "1000", "cleanup.policy": "compact"})
        await ensure_topic(Brokers(kafka_bootstrap), spec)

    with pytest.raises(TopicMismatch) as error:
        await ensure_topic(Brokers(kafka_bootstrap), spec)

    assert str(error.value) == (
        f"The topic {spec.name} exists with other settings: retention.ms is 1000 and must be -1; "
        "cleanup.policy is compact and must be delete; "
        "max.message.bytes is 1048588 and must be 1048576."
    )


async def test_more_replicas_than_brokers_is_an_immediate_error(
    kafka_bootstrap: str, spec: Any
) -> None:
    with pytest.raises(LogError, match=r"(?i)replication factor"):
        await ensure_topic(Brokers(kafka_bootstrap), TopicSpec(spec.name, 3, 3, 2))


async def test_an_unreachable_broker_is_one_clear_error(spec: Any) -> None:
    address = f"127.0.0.1:{free_port()}"

    with pytest.raises(LogError, match=f"could not be prepared at {address}"):
        await ensure_topic(Brokers(address), spec, timeout=3)

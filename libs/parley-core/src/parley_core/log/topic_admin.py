"""Topic administration: creates topics and rejects existing ones with unsafe settings.

Settings: https://kafka.apache.org/documentation/#topicconfigs
"""

import asyncio
from collections.abc import Mapping

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from parley_core.log.brokers import Brokers
from parley_core.log.client_settings import REQUEST_TIMEOUT_MS
from parley_core.log.errors import LogError, TopicMismatch, reason
from parley_events.topics import TopicSpec


async def ensure_topic(brokers: Brokers, spec: TopicSpec, timeout: float = 15) -> None:
    """Return once the topic exists as specified and every partition has a leader.

    Safe to call from several processes at once. Raises `TopicMismatch` when the topic exists with
    other settings, and `LogError` when Kafka does not respond or fails within `timeout` seconds.
    """
    admin = AIOKafkaAdminClient(**brokers.client_settings(), request_timeout_ms=REQUEST_TIMEOUT_MS)
    try:
        async with asyncio.timeout(timeout):
            await admin.start()
            # Lists all topics: describing a missing one may create it with default settings.
            if spec.name not in await admin.list_topics():
                await _create(admin, spec)
            actual = await _partitions_and_replicas(admin, spec.name)
            actual |= await _settings(admin, spec)
    except (KafkaError, TimeoutError) as error:
        raise LogError(
            f"The topic {spec.name} could not be prepared at {brokers.bootstrap}: {reason(error)}."
        ) from error
    finally:
        await admin.close()
    _require_equal(spec, actual)


async def _create(admin: AIOKafkaAdminClient, spec: TopicSpec) -> None:
    topic = NewTopic(
        spec.name, spec.partitions, spec.replication_factor, topic_configs=spec.settings
    )
    response = await admin.create_topics([topic])
    for _, code, message in response.topic_errors:
        # Another process may have created it first; its topic is compared like any other.
        if code not in (0, TopicAlreadyExistsError.errno):
            raise for_code(code)(message)


async def _partitions_and_replicas(admin: AIOKafkaAdminClient, name: str) -> dict[str, str]:
    while True:
        [topic] = await admin.describe_topics([name])
        partitions = topic["partitions"]
        if partitions and all(partition["leader"] >= 0 for partition in partitions):
            replicas = min(len(partition["replicas"]) for partition in partitions)
            return {"partitions": str(len(partitions)), "replication factor": str(replicas)}
        await asyncio.sleep(0.05)


async def _settings(admin: AIOKafkaAdminClient, spec: TopicSpec) -> dict[str, str]:
    expected = dict.fromkeys(spec.settings, "")
    resource = ConfigResource(ConfigResourceType.TOPIC, spec.name, expected)
    [response] = await admin.describe_configs([resource])
    [(code, message, _, _, entries)] = response.resources
    if code:
        raise for_code(code)(message)
    return {name: value for name, value, *_ in entries}


def _require_equal(spec: TopicSpec, actual: Mapping[str, str]) -> None:
    expected = {
        "partitions": str(spec.partitions),
        "replication factor": str(spec.replication_factor),
        **spec.settings,
    }
    differences = [
        f"{name} is {actual.get(name)} and must be {value}"
        for name, value in expected.items()
        if actual.get(name) != value
    ]
    if differences:
        raise TopicMismatch(
            f"The topic {spec.name} exists with other settings: {'; '.join(differences)}."
        )

"""Events of assistants are published to their own topic only."""

import json
from typing import Any

from session_support.client import Client
from session_support.log_reading import outbox_is_empty, records_in

from parley_core.auth.principal import Principal
from parley_core.log import Brokers, ensure_topic
from parley_core.storage.postgres_pool import Pool
from parley_events.assistant import assistant_stream
from parley_events.topics import ASSISTANTS_PARTITIONS, TopicSpec
from parley_testing.eventually import eventually
from parley_testing.recorded_spans import recorded_spans

GRACE = Principal("acme", "grace", frozenset({"assistants:write"}))
TRACE = "0af7651916cd43dd8448eb211c80319c"
CHEF = {"id": "chef", "name": "Chef", "instructions": "Be a chef."}


async def change(session: Client) -> None:
    traceparent = f"00-{TRACE}-b7ad6b7169203331-01"
    for method, path, body in (
        ("POST", "/assistants", CHEF),
        ("PATCH", "/assistants/chef", {"name": "Cook"}),
        ("DELETE", "/assistants/chef", None),
    ):
        answer = await session.call(method, path, body, who=GRACE, traceparent=traceparent)
        assert answer.status in (200, 201)


async def test_each_change_of_an_assistant_is_published_to_its_stream(
    serve: Any, pool: Pool, kafka_bootstrap: str, log_topic: str
) -> None:
    topic = f"{log_topic}.assistants"
    await ensure_topic(Brokers(kafka_bootstrap), TopicSpec(topic, ASSISTANTS_PARTITIONS, 1, 1))
    session = await serve(
        kafka_bootstrap_servers=kafka_bootstrap,
        session_topic_sessions=log_topic,
        session_topic_assistants=topic,
    )
    with recorded_spans():
        await change(session)
    await session.start()

    async def all_relayed() -> bool:
        waits = await pool.fetchval("SELECT EXISTS (SELECT FROM assistant_outbox)")
        return not waits and await outbox_is_empty(pool)

    await eventually(all_relayed)
    records = await records_in(kafka_bootstrap, topic)
    headers = [{name: value.decode() for name, value in each.headers} for each in records]
    key = str(assistant_stream("acme", "chef"))
    assert {record.key.decode() for record in records} == {key}
    assert [(each["ce_type"], each["ce_sequence"]) for each in headers] == [
        ("parley.assistant.assistant_defined.v1", "1"),
        ("parley.assistant.assistant_revised.v1", "2"),
        ("parley.assistant.assistant_retired.v1", "3"),
    ]
    assert {each["ce_subject"] for each in headers} == {key}
    assert {each["traceparent"].split("-")[1] for each in headers} == {TRACE}
    values = [json.loads(record.value) for record in records]
    assert [value.get("name") for value in values] == ["Chef", "Cook", None]
    assert {value["tenant"] for value in values} == {"acme"}
    assert all(value["actor"]["user"] == "grace" for value in values)
    stored = await pool.fetch("SELECT data::text FROM assistant_events WHERE stream_id = $1", key)
    assert {row["data"].encode() for row in stored} == {record.value for record in records}
    assert len(await records_in(kafka_bootstrap, log_topic)) == 1

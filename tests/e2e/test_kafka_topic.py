"""The sessions topic as an external consumer reads it."""

import json
from datetime import datetime
from uuid import UUID, uuid4

import pytest
from aiokafka import AIOKafkaConsumer
from e2e_support.kafka_records import headers_of, last_sequences, read_records
from e2e_support.stack import Stack
from e2e_support.user import User

from parley_testing.eventually import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

TURN = [
    "parley.session.session_started.v1",
    "parley.session.message_submitted.v1",
    "parley.session.reply_requested.v1",
    "parley.session.reply_completed.v1",
]


async def test_a_plain_kafka_consumer_reads_the_events(ada: User, stack: Stack) -> None:
    session = await ada.start_session()
    turn = await ada.send(session, "Hello")
    read = []
    async with AIOKafkaConsumer(
        "parley.sessions.v1", **stack.kafka, auto_offset_reset="earliest"
    ) as consumer:
        async for record in consumer:
            if record.key.decode() == session:
                read.append((dict(record.headers), json.loads(record.value)))
            if len(read) == len(TURN):
                break

    assert [headers["ce_type"].decode() for headers, _ in read] == TURN
    assert [int(headers["ce_sequence"]) for headers, _ in read] == [1, 2, 3, 4]
    assert turn["version"] == 4
    _, submitted, requested, completed = (data for _, data in read)
    assert submitted["message_id"] == turn["message"]["id"]
    assert requested["turn_id"] == turn["id"]
    assert completed["usage"]["prompt_tokens"] == turn["reply"]["usage"]["prompt_tokens"]


async def test_every_record_is_a_cloud_event(ada: User, stack: Stack) -> None:
    session = await ada.start_session(id=str(uuid4()))
    await ada.send(session, "Hello")

    async def is_published() -> bool:
        return last_sequences(await read_records(stack.kafka)).get(session, 0) == len(TURN)

    await eventually(is_published)
    records = [each for each in await read_records(stack.kafka) if each.key.decode() == session]
    assert len({record.partition for record in records}) == 1
    for record in records:
        headers = headers_of(record)
        assert headers["ce_specversion"] == "1.0"
        assert headers["ce_source"] == "/parley/session"
        assert headers["ce_subject"] == session
        assert headers["content-type"] == "application/json"
        assert UUID(headers["ce_id"]).version == 7
        assert datetime.fromisoformat(headers["ce_time"]).utcoffset() is not None

"""`verify-audit`: names records that are missing or were changed, in the store and in the log."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from session_support.log_reading import records_in
from session_support.process import Ended, Run
from session_support.service import Service

from parley_core.log import Brokers, LogWriter, ensure_topic
from parley_core.storage.postgres_pool import Pool
from parley_events.audit import FIRST_PREVIOUS, AuditRecorded, record_hash
from parley_events.cloudevents import Record, UndecodableRecord, encode_data, record_of
from parley_events.topics import AUDIT_PARTITIONS, TopicSpec
from parley_events.uuid7 import uuid7_after
from parley_session.application.command_executor import utc_now
from parley_session.operations.difference_list import DifferenceList
from parley_session.operations.log.audit_chain import AuditChain, chained_record
from parley_session.operations.operator_acts import operator_act
from parley_session.storage.audit.audit_store import append_records
from parley_testing.eventually import eventually

STREAM = uuid4()
INTACT = "The audit trail is complete and unchanged."

Verify = Callable[[], Awaitable[Ended]]


def chain_of(count: int) -> list[Record]:
    records: list[Record] = []
    previous = FIRST_PREVIOUS
    for sequence in range(1, count + 1):
        data = AuditRecorded(action="session.erased", outcome="done", previous=previous)
        now = utc_now()
        record = record_of(
            subject=STREAM,
            event_id=uuid7_after(None, now, sequence),
            type=AuditRecorded.TYPE,
            sequence=sequence,
            time=now,
            traceparent=None,
            value=encode_data(data),
        )
        records.append(record)
        previous = record_hash(record)
    return records


def differences(numbered: Sequence[tuple[int, Record]]) -> list[str]:
    found = DifferenceList()
    chain = AuditChain("the log", found)
    for sequence, record in numbered:
        chain.add(chained_record(STREAM, sequence, record))
    return found.shown


def changed(record: Record) -> Record:
    return replace(record, value=record.value.replace(b'"action":"', b'"action":"x'))


def test_a_whole_chain_with_repeats_has_no_difference() -> None:
    numbered = [*enumerate(chain_of(5), start=1)]
    assert differences(numbered) == []
    assert differences([*numbered[:3], *numbered[1:]]) == []


def test_missing_records_are_named() -> None:
    numbered = [*enumerate(chain_of(6), start=1)]
    assert differences(numbered[1:]) == ["Record 1 is missing in the log."]
    assert differences([*numbered[:2], *numbered[4:]]) == ["Records 3 to 4 are missing in the log."]


def test_a_changed_record_breaks_the_chain_behind_it() -> None:
    records = chain_of(4)
    records[1] = changed(records[1])
    assert differences([*enumerate(records, start=1)]) == [
        "Record 3 in the log does not continue record 2: one of them was changed."
    ]


def test_a_record_of_another_kind_is_no_link_of_the_chain() -> None:
    other = replace(chain_of(1)[0], headers=[("ce_type", b"parley.audit.other.v1")])
    with pytest.raises(UndecodableRecord):
        chained_record(STREAM, 1, other)


@pytest.fixture
async def topic_of_audit(kafka_bootstrap: str, topic: str) -> str:
    await ensure_topic(Brokers(kafka_bootstrap), TopicSpec(topic, AUDIT_PARTITIONS, 1, 1))
    return topic


@pytest.fixture
async def recorded(serve: Any, kafka_bootstrap: str, topic_of_audit: str, pool: Pool) -> Service:
    """A session service that has published five records."""
    session: Service = await serve(
        kafka_bootstrap_servers=kafka_bootstrap, session_topic_audit=topic_of_audit
    )
    for _ in range(5):
        await session.call("POST", "/audit/reads", {"action": "messages.searched"})

    async def is_published() -> bool:
        return not await pool.fetchval("SELECT EXISTS (SELECT FROM audit_outbox)")

    await eventually(is_published, within=60)
    return session


@pytest.fixture
def verify(run: Run, store_database: str, kafka_bootstrap: str, topic_of_audit: str) -> Verify:
    async def verify() -> Ended:
        return await run(
            "verify-audit",
            store_database,
            kafka_bootstrap_servers=kafka_bootstrap,
            session_topic_audit=topic_of_audit,
        )

    return verify


async def test_store_and_log_are_checked_and_compared(
    recorded: Service, verify: Verify, pool: Pool, kafka_bootstrap: str, topic_of_audit: str
) -> None:
    ended = await verify()
    assert (ended.code, ended.stdout.splitlines()[-1]) == (0, INTACT)
    await pool.execute(
        "UPDATE audit_records SET data = replace(data::text, 'ada', 'eve')::json WHERE sequence = 2"
    )
    ended = await verify()
    assert ended.code == 1
    assert "Record 2 in the store was changed." in ended.stdout
    await pool.execute("DELETE FROM audit_records WHERE sequence IN (2, 5)")
    ended = await verify()
    for sentence in (
        "Record 2 is missing in the store.",
        "The chain ends with record 5, the records in the store with 4",
        "Record 5 is in the log, but not in the store.",
    ):
        assert sentence in ended.stdout
    # A forger who continues the chain in the log is found by the store.
    records = await records_in(kafka_bootstrap, topic_of_audit)
    writer = LogWriter(Brokers(kafka_bootstrap), topic_of_audit)
    await writer.start(30)
    try:
        await writer.append([changed(records[2])], 30)
    finally:
        await writer.close()
    ended = await verify()
    assert "Record 3 differs between log and store." in ended.stdout


async def test_records_that_the_log_lacks_are_named(
    session: Service, verify: Verify, pool: Pool
) -> None:
    """The log of the service cannot be reached, so that nothing is published."""
    for _ in range(2):
        await session.call("POST", "/audit/reads", {"action": "messages.searched"})
    await append_records(pool, [operator_act("restore", "store.restored", outcome="done")])
    assert (await verify()).code == 0
    await pool.execute("DELETE FROM audit_outbox")
    ended = await verify()
    assert ended.code == 1
    assert "Record 1 is in the store, but neither in the outbox nor in the log." in ended.stdout
    assert "UTC, which is record 3 in the store" in ended.stdout

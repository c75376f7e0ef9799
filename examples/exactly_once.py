"""Counts completed replies by model, each exactly once, with confluent-kafka and SQLite.

Run: python exactly_once.py BOOTSTRAP_SERVERS DATABASE [PASSWORD]
The password is that of the user `parley`, which the Kafka of `parley up` asks for.
"""

import sqlite3
import sys
from contextlib import closing

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from parley_events.cloudevents import UndecodableRecord, decode
from parley_events.consumer_rule import Applied, SequenceCheck, check_sequence
from parley_events.event_decoders import record_from
from parley_events.session import Event, ReplyCompleted
from parley_events.topics import SESSIONS_TOPIC

TABLES = """
CREATE TABLE IF NOT EXISTS positions (partition INTEGER PRIMARY KEY, next INTEGER);
CREATE TABLE IF NOT EXISTS applied (session TEXT PRIMARY KEY, sequence INTEGER, id TEXT);
CREATE TABLE IF NOT EXISTS replies (model TEXT PRIMARY KEY, count INTEGER);
"""


def apply(store: sqlite3.Connection, event: Event) -> None:
    session = str(event.session_id)
    last = store.execute("SELECT sequence, id FROM applied WHERE session = ?", [session]).fetchone()
    check = check_sequence(Applied(*last) if last else None, event.sequence, str(event.id))
    if check is SequenceCheck.REPEAT:
        return
    if check is not SequenceCheck.NEXT:
        raise SystemExit(f"Session {session}: {check.name} at {event.sequence}. Ask an operator.")
    store.execute(
        "INSERT OR REPLACE INTO applied VALUES (?, ?, ?)", [session, event.sequence, str(event.id)]
    )
    if isinstance(event.data, ReplyCompleted):
        store.execute(
            "INSERT INTO replies VALUES (?, 1) ON CONFLICT DO UPDATE SET count = count + 1",
            [event.data.model],
        )


def follow(
    servers: str,
    database: str,
    topic: str = SESSIONS_TOPIC,
    max_idle: int = -1,
    password: str | None = None,
) -> None:
    """Apply records as they arrive, until none has for `max_idle` seconds (-1: for ever)."""
    with closing(sqlite3.connect(database)) as store:
        store.executescript(TABLES)
        stored = dict(store.execute("SELECT partition, next FROM positions").fetchall())
        settings = {"bootstrap.servers": servers, "group.id": "unused", "enable.auto.commit": False}
        if password:
            settings |= {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN"}
            settings |= {"sasl.username": "parley", "sasl.password": password}
        consumer = Consumer(settings)
        partitions = consumer.list_topics(topic).topics[topic].partitions
        consumer.assign(
            [TopicPartition(topic, p, stored.get(p, OFFSET_BEGINNING)) for p in partitions]
        )
        idle = 0
        while idle != max_idle:
            messages = consumer.consume(1_000, timeout=1)
            idle = 0 if messages else idle + 1
            with store:  # One transaction: the effects, and the positions after them.
                for message in messages:
                    if message.error():
                        raise SystemExit(str(message.error()))
                    try:
                        record = record_from(message.key(), message.headers(), message.value())
                        apply(store, decode(record))
                    except UndecodableRecord as error:
                        print(f"{message.partition()}:{message.offset()}: {error}", file=sys.stderr)
                    store.execute(
                        "INSERT OR REPLACE INTO positions VALUES (?, ?)",
                        [message.partition(), message.offset() + 1],
                    )
        consumer.close()


if __name__ == "__main__":
    follow(sys.argv[1], sys.argv[2], password=next(iter(sys.argv[3:]), None))

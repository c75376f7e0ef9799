"""The tables that a batch is read from and written to, in the one transaction of its caller."""

import base64
import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from uuid import UUID

import asyncpg
from msgspec.structs import astuple

from parley_events.cloudevents import Record
from parley_history.domain.batch import Batch, BatchState, DeadLetter
from parley_history.domain.incoming_record import IncomingRecord, arrival_of
from parley_history.domain.rows import MessageRow, SessionRow, TurnOfMessage

Connection = asyncpg.Connection

MOVED_CHANNEL = "history_moved"
EVERYTHING = ""
"""A notification on `MOVED_CHANNEL` that names no session: each may read otherwise from here on."""
# A notification has 8,000 bytes at most, and an id 33 of them.
_IDS_PER_NOTIFICATION = 100

_READ_SESSIONS = """
SELECT id, tenant, owner, assistant_id, assistant_version, version, last_event_id, created_at,
    updated_at, title, title_event_id, metadata, metadata_event_id, open_turn_id,
    open_turn_message_id, leaf_message_id, linear, archived, deleted, held, erased_at, expires_at,
    forked_from_session_id, forked_from_message_id
FROM sessions WHERE id = ANY($1::uuid[])
"""
_READ_HELD = """
SELECT session_id, sequence, partition, "offset", key, headers, value
FROM held_events WHERE session_id = ANY($1::uuid[])
"""
_READ_PARKED = "SELECT DISTINCT session_id FROM dead_letters WHERE session_id = ANY($1::uuid[])"
_READ_DISCARDED = """
SELECT digest, session_id FROM public.discarded_records
WHERE session_id = ANY($1::uuid[]) OR session_id IS NULL
"""

_WRITE_SESSIONS = """
INSERT INTO sessions (
    id, tenant, owner, assistant_id, assistant_version, version, last_event_id, created_at,
    updated_at, title, title_event_id, metadata, metadata_event_id, open_turn_id,
    open_turn_message_id, leaf_message_id, linear, archived, deleted, held, erased_at, expires_at,
    forked_from_session_id, forked_from_message_id
)
SELECT * FROM unnest(
    $1::uuid[], $2::text[], $3::text[], $4::text[], $5::int[], $6::int[], $7::uuid[],
    $8::timestamptz[], $9::timestamptz[], $10::bytea[], $11::uuid[], $12::bytea[], $13::uuid[],
    $14::uuid[], $15::uuid[], $16::uuid[], $17::bool[], $18::bool[], $19::bool[], $20::bool[],
    $21::timestamptz[], $22::timestamptz[], $23::uuid[], $24::uuid[]
)
ON CONFLICT (id) DO UPDATE SET
    version = excluded.version,
    last_event_id = excluded.last_event_id,
    updated_at = excluded.updated_at,
    title = excluded.title,
    title_event_id = excluded.title_event_id,
    metadata = excluded.metadata,
    metadata_event_id = excluded.metadata_event_id,
    open_turn_id = excluded.open_turn_id,
    open_turn_message_id = excluded.open_turn_message_id,
    leaf_message_id = excluded.leaf_message_id,
    linear = excluded.linear,
    archived = excluded.archived,
    deleted = excluded.deleted,
    held = excluded.held,
    erased_at = excluded.erased_at
"""
_ADD_USAGE = """
INSERT INTO usage AS kept (
    session_id, day, model, currency, tenant, owner, assistant_id, replies, prompt_tokens,
    completion_tokens, estimated_tokens, cost
)
SELECT * FROM unnest(
    $1::uuid[], $2::date[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::int[],
    $9::bigint[], $10::bigint[], $11::bigint[], $12::numeric[]
)
ON CONFLICT (session_id, day, model, currency) DO UPDATE SET
    replies = kept.replies + excluded.replies,
    prompt_tokens = kept.prompt_tokens + excluded.prompt_tokens,
    completion_tokens = kept.completion_tokens + excluded.completion_tokens,
    estimated_tokens = kept.estimated_tokens + excluded.estimated_tokens,
    cost = kept.cost + excluded.cost
"""
_LINK_TURNS = """
UPDATE messages SET turn_id = link.turn_id
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[]) AS link (session_id, message_id, turn_id)
WHERE messages.session_id = link.session_id AND messages.id = link.message_id
    AND messages.turn_id IS NULL
"""
_HOLD = """
INSERT INTO held_events (session_id, sequence, partition, "offset", key, headers, value)
VALUES ($1, $2, $3, $4, $5, $6, $7)
"""
_RELEASE = """
DELETE FROM held_events
USING unnest($1::uuid[], $2::int[]) AS released (session_id, sequence)
WHERE held_events.session_id = released.session_id AND held_events.sequence = released.sequence
"""
_ERASE_HELD = "DELETE FROM held_events WHERE session_id = ANY($1::uuid[])"
_ERASE = "DELETE FROM messages WHERE session_id = ANY($1::uuid[])"
_BURY = """
INSERT INTO dead_letters (session_id, error, partition, "offset", key, headers, value)
VALUES ($1, $2, $3, $4, $5, $6, $7)
"""
_NOTIFY = "SELECT pg_notify($1, ids) FROM unnest($2::text[]) AS ids"


async def read_known(
    connection: "Connection[asyncpg.Record]",
    session_ids: Collection[UUID],
    remembered: Mapping[UUID, SessionRow] = MappingProxyType({}),
) -> BatchState:
    """What the tables hold of the sessions; rows that the caller remembers are not read again."""
    sessions = {id: remembered[id] for id in session_ids if id in remembered}
    if others := [id for id in session_ids if id not in sessions]:
        for row in await connection.fetch(_READ_SESSIONS, others):
            sessions[row["id"]] = SessionRow(*row.values())
    held: defaultdict[UUID, dict[int, IncomingRecord]] = defaultdict(dict)
    for row in await connection.fetch(_READ_HELD, session_ids):
        arrival = arrival_of(row["partition"], row["offset"], record_kept_in(row))
        held[row["session_id"]][row["sequence"]] = arrival
    parked = await connection.fetch(_READ_PARKED, session_ids)
    discarded = await connection.fetch(_READ_DISCARDED, session_ids)
    return BatchState(
        sessions=sessions,
        held=held,
        parked=frozenset(row["session_id"] for row in parked),
        discarded={row["digest"]: row["session_id"] for row in discarded},
    )


async def write_batch(connection: "Connection[asyncpg.Record]", batch: Batch) -> None:
    """Write what the batch changes, and tell who listens on `MOVED_CHANNEL`."""
    await write_rows(connection, batch)
    if batch.erased:
        await erase_messages(connection, batch.erased)
    if batch.turns:
        await link_turns(connection, batch.turns)
    if batch.sessions:
        await connection.execute(_NOTIFY, MOVED_CHANNEL, _notifications([*batch.sessions]))


async def write_rows(connection: "Connection[asyncpg.Record]", batch: Batch) -> None:
    """Write what the batch changes, but nothing in messages that an earlier one brought."""
    if batch.sessions:
        rows = map(astuple, batch.sessions.values())
        await connection.execute(_WRITE_SESSIONS, *_columns(rows))
    if messages := batch.messages:
        await connection.copy_records_to_table(
            "messages",
            columns=MessageRow.__struct_fields__,
            records=map(astuple, messages.values()),
        )
    if usage := batch.usage:
        await connection.execute(_ADD_USAGE, *_columns(map(astuple, usage.values())))
    if batch.released:
        await connection.execute(_RELEASE, *_columns(batch.released))
    if batch.erased:
        await connection.execute(_ERASE_HELD, batch.erased)
    if batch.newly_held:
        await connection.executemany(_HOLD, map(_held_row, batch.newly_held))
    if batch.dead_letters:
        await connection.executemany(_BURY, map(_dead_letter_row, batch.dead_letters))


async def erase_messages(
    connection: "Connection[asyncpg.Record]", session_ids: Collection[UUID]
) -> None:
    await connection.execute(_ERASE, session_ids)


async def link_turns(
    connection: "Connection[asyncpg.Record]", links: Iterable[TurnOfMessage]
) -> None:
    await connection.execute(_LINK_TURNS, *_columns(map(astuple, _first(links))))


def record_kept_in(row: asyncpg.Record) -> Record:
    """The record of a held event or a dead letter, as it is in the log."""
    headers = [(name, base64.b64decode(value)) for name, value in json.loads(row["headers"])]
    return Record(row["key"], headers, row["value"])


async def notify_all(connection: "Connection[asyncpg.Record]") -> None:
    await connection.execute(_NOTIFY, MOVED_CHANNEL, [EVERYTHING])


def moved_sessions(notification: str) -> list[UUID]:
    """The sessions that a notification on `MOVED_CHANNEL` names."""
    return [UUID(text) for text in notification.split(",")]


def _notifications(session_ids: Sequence[UUID]) -> list[str]:
    size = _IDS_PER_NOTIFICATION
    parts = [session_ids[start : start + size] for start in range(0, len(session_ids), size)]
    return [",".join(session_id.hex for session_id in part) for part in parts]


def _first(links: Iterable[TurnOfMessage]) -> Iterable[TurnOfMessage]:
    """One link of each message: which of several rows an UPDATE takes is not defined."""
    first: dict[tuple[UUID, UUID], TurnOfMessage] = {}
    for link in links:
        first.setdefault((link.session_id, link.message_id), link)
    return first.values()


def _columns(rows: Iterable[Sequence[object]]) -> list[tuple[object, ...]]:
    return [*zip(*rows, strict=True)]


def _held_row(arrival: IncomingRecord) -> tuple[object, ...]:
    assert arrival.event is not None
    return (arrival.session_id, arrival.event.sequence, *_raw(arrival))


def _dead_letter_row(letter: DeadLetter) -> tuple[object, ...]:
    return (letter.arrival.session_id, letter.error, *_raw(letter.arrival))


def _raw(arrival: IncomingRecord) -> tuple[object, ...]:
    record = arrival.record
    headers = [(name, base64.b64encode(value).decode()) for name, value in record.headers]
    place = (arrival.partition, arrival.offset)
    return (*place, record.key, json.dumps(headers), record.value)

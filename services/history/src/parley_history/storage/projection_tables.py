"""Tables of a read-model version: reads and writes the rows of a batch in its transaction."""

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
from parley_history.domain.incoming_record import IncomingRecord, decode_incoming
from parley_history.domain.rows import MessageRow, SessionRow, TurnLink
from parley_history.storage.change_notifications import notify_changes
from parley_history.storage.database import Connection

_READ_SESSIONS = """
SELECT id, tenant, owner, assistant_id, assistant_version, version, last_event_id, created_at,
    updated_at, title, title_event_id, metadata, metadata_event_id, open_turn_id,
    open_turn_message_id, leaf_message_id, linear, archived, deleted, held, erased_at, expires_at,
    forked_from_session_id, forked_from_message_id
FROM sessions WHERE id = ANY($1::uuid[])
"""
_READ_DEFERRED = """
SELECT session_id, sequence, partition, "offset", key, headers, value
FROM deferred_events WHERE session_id = ANY($1::uuid[])
"""
_READ_PARKED = "SELECT DISTINCT session_id FROM dead_letters WHERE session_id = ANY($1::uuid[])"
_READ_DISCARDED = """
SELECT digest, session_id FROM public.discarded_records
WHERE session_id = ANY($1::uuid[]) OR session_id IS NULL
"""

_UPSERT_SESSIONS = """
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
INSERT INTO usage AS stored (
    session_id, day, model, currency, tenant, owner, assistant_id, replies, prompt_tokens,
    completion_tokens, estimated_tokens, cost
)
SELECT * FROM unnest(
    $1::uuid[], $2::date[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::int[],
    $9::bigint[], $10::bigint[], $11::bigint[], $12::numeric[]
)
ON CONFLICT (session_id, day, model, currency) DO UPDATE SET
    replies = stored.replies + excluded.replies,
    prompt_tokens = stored.prompt_tokens + excluded.prompt_tokens,
    completion_tokens = stored.completion_tokens + excluded.completion_tokens,
    estimated_tokens = stored.estimated_tokens + excluded.estimated_tokens,
    cost = stored.cost + excluded.cost
"""
_LINK_TURNS = """
UPDATE messages SET turn_id = link.turn_id
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[]) AS link (session_id, message_id, turn_id)
WHERE messages.session_id = link.session_id AND messages.id = link.message_id
    AND messages.turn_id IS NULL
"""
_INSERT_DEFERRED = """
INSERT INTO deferred_events (session_id, sequence, partition, "offset", key, headers, value)
VALUES ($1, $2, $3, $4, $5, $6, $7)
"""
_DELETE_REPLAYED = """
DELETE FROM deferred_events
USING unnest($1::uuid[], $2::int[]) AS replayed (session_id, sequence)
WHERE deferred_events.session_id = replayed.session_id
    AND deferred_events.sequence = replayed.sequence
"""
_DELETE_DEFERRED = "DELETE FROM deferred_events WHERE session_id = ANY($1::uuid[])"
_DELETE_MESSAGES = "DELETE FROM messages WHERE session_id = ANY($1::uuid[])"
_INSERT_DEAD_LETTERS = """
INSERT INTO dead_letters (session_id, error, partition, "offset", key, headers, value)
VALUES ($1, $2, $3, $4, $5, $6, $7)
"""


async def read_batch_state(
    connection: Connection,
    session_ids: Collection[UUID],
    cached: Mapping[UUID, SessionRow] = MappingProxyType({}),
) -> BatchState:
    """Read the stored state of the sessions; session rows in `cached` are not read again."""
    sessions = {id: cached[id] for id in session_ids if id in cached}
    if others := [id for id in session_ids if id not in sessions]:
        for row in await connection.fetch(_READ_SESSIONS, others):
            sessions[row["id"]] = SessionRow(*row.values())
    deferred: defaultdict[UUID, dict[int, IncomingRecord]] = defaultdict(dict)
    for row in await connection.fetch(_READ_DEFERRED, session_ids):
        incoming = decode_incoming(row["partition"], row["offset"], stored_record(row))
        deferred[row["session_id"]][row["sequence"]] = incoming
    parked = await connection.fetch(_READ_PARKED, session_ids)
    discarded = await connection.fetch(_READ_DISCARDED, session_ids)
    return BatchState(
        sessions=sessions,
        deferred=deferred,
        parked=frozenset(row["session_id"] for row in parked),
        discarded={row["digest"]: row["session_id"] for row in discarded},
    )


async def write_batch(connection: Connection, batch: Batch) -> None:
    """Write the changes of the batch and notify listeners of the changed sessions."""
    await write_rows(connection, batch)
    if batch.erased:
        await delete_messages(connection, batch.erased)
    if batch.turn_links:
        await link_turns(connection, batch.turn_links)
    if batch.sessions:
        await notify_changes(connection, [*batch.sessions])


async def write_rows(connection: Connection, batch: Batch) -> None:
    """Write the changes of the batch, except those to messages of earlier batches."""
    if batch.sessions:
        rows = map(astuple, batch.sessions.values())
        await connection.execute(_UPSERT_SESSIONS, *_columns(rows))
    if messages := batch.messages:
        await connection.copy_records_to_table(
            "messages",
            columns=MessageRow.__struct_fields__,
            records=map(astuple, messages.values()),
        )
    if usage := batch.usage:
        await connection.execute(_ADD_USAGE, *_columns(map(astuple, usage.values())))
    if batch.replayed:
        await connection.execute(_DELETE_REPLAYED, *_columns(batch.replayed))
    if batch.erased:
        await connection.execute(_DELETE_DEFERRED, batch.erased)
    if batch.newly_deferred:
        await connection.executemany(_INSERT_DEFERRED, map(_deferred_row, batch.newly_deferred))
    if batch.dead_letters:
        await connection.executemany(
            _INSERT_DEAD_LETTERS, map(_dead_letter_row, batch.dead_letters)
        )


async def delete_messages(connection: Connection, session_ids: Collection[UUID]) -> None:
    await connection.execute(_DELETE_MESSAGES, session_ids)


async def link_turns(connection: Connection, links: Iterable[TurnLink]) -> None:
    await connection.execute(_LINK_TURNS, *_columns(map(astuple, _first_links(links))))


def stored_record(row: asyncpg.Record) -> Record:
    """Return the log record that a deferred event or a dead letter stores."""
    headers = [(name, base64.b64decode(value)) for name, value in json.loads(row["headers"])]
    return Record(row["key"], headers, row["value"])


def _first_links(links: Iterable[TurnLink]) -> Iterable[TurnLink]:
    """Keep one link per message: an UPDATE with several matching rows picks an arbitrary one."""
    first: dict[tuple[UUID, UUID], TurnLink] = {}
    for link in links:
        first.setdefault((link.session_id, link.message_id), link)
    return first.values()


def _columns(rows: Iterable[Sequence[object]]) -> list[tuple[object, ...]]:
    return [*zip(*rows, strict=True)]


def _deferred_row(incoming: IncomingRecord) -> tuple[object, ...]:
    assert incoming.event is not None
    return (incoming.session_id, incoming.event.sequence, *_raw_columns(incoming))


def _dead_letter_row(letter: DeadLetter) -> tuple[object, ...]:
    return (letter.incoming.session_id, letter.error, *_raw_columns(letter.incoming))


def _raw_columns(incoming: IncomingRecord) -> tuple[object, ...]:
    record = incoming.record
    headers = [(name, base64.b64encode(value).decode()) for name, value in record.headers]
    return (incoming.partition, incoming.offset, record.key, json.dumps(headers), record.value)

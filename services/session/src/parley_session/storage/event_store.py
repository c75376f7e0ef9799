"""The event store: an append is one statement in one commit, fenced by the session's version."""

import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from uuid import UUID

import asyncpg

from parley_core.crypto.master_keys import MasterKeys
from parley_core.crypto.sealing import DataKey
from parley_core.runtime.offload import run_in_thread_if_large
from parley_core.storage.postgres_pool import Pool
from parley_events.cloudevents import decode_data
from parley_events.session import Event, ReplyRequested
from parley_session.domain.session.state import BrokenStream, Session, fold
from parley_session.storage.append_statement import IdempotencyRecord, Statement, append_statement
from parley_session.storage.newest_events import NewestEvents

# Bounds what a load holds in memory, and for how long it keeps others waiting.
_EVENTS_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class LoadedSession:
    """A session as it is stored now, and the key of its content."""

    session: Session
    key: DataKey


class EventStore:
    """Keeps the folded sessions that it loaded last, so that a load reads only what is new."""

    def __init__(
        self,
        pool: Pool,
        master_keys: MasterKeys,
        *,
        most_sessions_kept: int,
        on_stored: Callable[[bool], None] = lambda _: None,
        observe_append: Callable[[float], None] = lambda _: None,
    ) -> None:
        """`on_stored` is told after each commit for the relay whether it opened a turn.

        `observe_append` is told how many seconds each took.
        """
        self._pool, self._master_keys = pool, master_keys
        self._most_kept, self._on_stored = most_sessions_kept, on_stored
        self._observe_append = observe_append
        self._kept: OrderedDict[UUID, Session] = OrderedDict()
        self._newest = NewestEvents()

    async def load(self, session_id: UUID) -> LoadedSession | None:
        """The session with every event that was committed before the call; None if it is unknown.

        Raises KeyDestroyed when it was erased.
        """
        row = await self._pool.fetchrow(
            "SELECT version, wrapped_key FROM sessions WHERE id = $1", session_id
        )
        return await self.load_at(session_id, row["version"], row["wrapped_key"]) if row else None

    async def load_at(
        self, session_id: UUID, version: int, wrapped_key: bytes | None
    ) -> LoadedSession:
        """As `load`, where the session's row was read already."""
        if wrapped_key is None:
            self._kept.pop(session_id, None)
        key = self._master_keys.unwrap(wrapped_key, session_id)
        session = self._kept.get(session_id)
        while session is None or session.version < version:
            session = fold(await self._next_events(session_id, session), session)
        self._keep(session)
        return LoadedSession(session, key)

    async def events_at(self, session_id: UUID, sequences: Collection[int]) -> list[Event]:
        kept = self._newest.find(session_id, sequences)
        if kept is not None:
            return kept
        rows = await self._pool.fetch(
            "SELECT * FROM events WHERE session_id = $1 AND sequence = ANY($2) ORDER BY sequence",
            session_id,
            [*sequences],
        )
        return await run_in_thread_if_large(len(rows), lambda: [event_of(row) for row in rows])

    async def append(
        self,
        held: LoadedSession | None,
        events: Sequence[Event],
        *,
        key: DataKey,
        remember: IdempotencyRecord | None = None,
    ) -> LoadedSession | None:
        """Store the events that follow `held`, durably; None when another append came first.

        Outbox rows, turns and the remembered request are of the same commit.
        Raises EventTooLarge; then nothing is stored.
        """
        wrapped = None if held else self._master_keys.wrap(key, events[0].session_id)
        version = held.session.version if held else 0
        write_out = partial(
            append_statement,
            events,
            version,
            wrapped_key=wrapped,
            remember=remember,
            messages=_answered_earlier(held, events),
        )
        statement = await run_in_thread_if_large(len(events), write_out)
        try:
            if not await self._stored(statement, opens=_opens_turn(events)):
                return None
        except asyncpg.UniqueViolationError as collision:
            # The same Idempotency-Key at the same moment: whoever lost reads what the other did.
            if collision.table_name != "remembered_requests":
                raise
            return None
        self._newest.keep(events, statement.event_bytes)
        session = fold(events, held.session if held else None)
        assert session is not None
        self._keep(session)
        return LoadedSession(session, key)

    async def add_stream(self, event: Event) -> bool:
        """Store an event that is a stream by itself and has no key; False when its id is taken."""
        statement = append_statement([event], 0, wrapped_key=None, remember=None, messages={})
        return await self._stored(statement, opens=False)

    async def recall(self, request: bytes) -> tuple[IdempotencyRecord, DataKey] | None:
        """What the request did, and the key of the session it did it to.

        Raises KeyDestroyed when that session was erased.
        """
        row = await self._pool.fetchrow(
            """
            SELECT r.session_id, r.turn_id, r.fingerprint, s.wrapped_key
            FROM remembered_requests r JOIN sessions s ON s.id = r.session_id
            WHERE r.request = $1
            """,
            request,
        )
        if row is None:
            return None
        key = self._master_keys.unwrap(row["wrapped_key"], row["session_id"])
        return IdempotencyRecord(
            request, row["fingerprint"], row["session_id"], row["turn_id"]
        ), key

    async def latest_session(self, tenant: str, owner: str, assistant_id: str) -> UUID | None:
        """The person's session with that assistant that moved last.

        Without those that are archived, deleted or temporary.
        """
        found: UUID | None = await self._pool.fetchval(
            """
            SELECT id FROM sessions
            WHERE tenant = $1 AND owner = $2 AND assistant_id = $3 AND wrapped_key IS NOT NULL
                AND erase_at IS NULL AND NOT archived
            ORDER BY updated_at DESC, id LIMIT 1
            """,
            tenant,
            owner,
            assistant_id,
        )
        return found

    async def data_keys(self, session_ids: Sequence[UUID]) -> dict[UUID, DataKey | None]:
        """The keys of the sessions that exist; None where the session was deleted or erased."""
        rows = await self._pool.fetch(
            """
            SELECT id, CASE WHEN NOT deleted THEN wrapped_key END AS wrapped_key
            FROM sessions WHERE id = ANY($1)
            """,
            session_ids,
        )
        return {
            row["id"]: row["wrapped_key"]
            and self._master_keys.unwrap(row["wrapped_key"], row["id"])
            for row in rows
        }

    async def _stored(self, statement: Statement, *, opens: bool) -> bool:
        began = time.perf_counter()
        stored: bool = await self._pool.fetchval(statement.text, *statement.values)
        if stored:
            self._observe_append(time.perf_counter() - began)
            self._on_stored(opens)
        return stored

    async def _next_events(self, session_id: UUID, session: Session | None) -> list[Event]:
        rows = await self._pool.fetch(
            """
            SELECT * FROM events WHERE session_id = $1 AND sequence > $2
            ORDER BY sequence LIMIT $3
            """,
            session_id,
            session.version if session else 0,
            _EVENTS_AT_ONCE,
        )
        if not rows:
            raise BrokenStream(f"events of session {session_id} are missing")
        return [event_of(row) for row in rows]

    def _keep(self, session: Session) -> None:
        known = self._kept.get(session.id)
        if known is None or known.version <= session.version:
            self._kept[session.id] = session
        self._kept.move_to_end(session.id)
        while len(self._kept) > self._most_kept:
            self._kept.popitem(last=False)


def _answered_earlier(held: LoadedSession | None, events: Sequence[Event]) -> dict[UUID, int]:
    """The messages that an event answers and that came before them all, with their sequences."""
    messages = held.session.messages if held else {}
    asked = (e.data.parent_message_id for e in events if isinstance(e.data, ReplyRequested))
    return {message: messages[message].sequence for message in asked if message in messages}


def _opens_turn(events: Sequence[Event]) -> bool:
    return any(isinstance(event.data, ReplyRequested) for event in events)


def event_of(row: asyncpg.Record) -> Event:
    return Event(
        id=row["id"],
        session_id=row["session_id"],
        sequence=row["sequence"],
        time=row["time"],
        data=decode_data(row["type"], row["data"].encode()),
        traceparent=row["traceparent"],
    )

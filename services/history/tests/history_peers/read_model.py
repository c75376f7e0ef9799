"""The rows that a read model holds, and those that the fold of a story gives."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import asyncpg
from msgspec.structs import fields, replace

from history_peers.stories import Story
from parley_events.cloudevents import Record
from parley_history.domain.batch import DeadLetter
from parley_history.domain.fold import evolve
from parley_history.domain.incoming_record import arrival_of
from parley_history.domain.rows import MessageRow, SessionRow
from parley_history.domain.usage import UsageKey, UsageRow, summed, usage_of
from parley_history.projection.active_read_model import ReadModel, ReadModelLimits
from parley_history.projection.batch_applier import PositionUpdate
from parley_history.storage.migrations import migrate_history

LIMITS = ReadModelLimits(database_seconds=5, held_events=5)
PARTITION = 3


@dataclass
class Rows:
    sessions: dict[UUID, SessionRow] = field(default_factory=dict)
    messages: dict[tuple[UUID, UUID], MessageRow] = field(default_factory=dict)
    usage: dict[UsageKey, UsageRow] = field(default_factory=dict)

    def of(self, *stories: Story) -> "Rows":
        ids = {story.id for story in stories}
        return Rows(
            {id: row for id, row in self.sessions.items() if id in ids},
            {place: row for place, row in self.messages.items() if place[0] in ids},
            {key: row for key, row in self.usage.items() if row.session_id in ids},
        )


def folded(*stories: Story) -> Rows:
    """What the log says, without a database or a batch."""
    rows, used = Rows(), list[UsageRow]()
    for story in stories:
        session = None
        for event in story.events:
            session, brought = evolve(session, event)
            used += filter(None, [usage_of(session, event)])
            if isinstance(brought, MessageRow):
                rows.messages[story.id, brought.id] = brought
            elif brought:
                place = (story.id, brought.message_id)
                if (message := rows.messages[place]).turn_id is None:
                    rows.messages[place] = replace(message, turn_id=brought.turn_id)
        assert session is not None
        if session.erased_at is not None:
            rows.messages = {p: row for p, row in rows.messages.items() if p[0] != story.id}
        rows.sessions[story.id] = session
    rows.usage = summed(used)
    return rows


def branched(*stories: Story) -> dict[UUID, SessionRow]:
    """The sessions, where a message was discarded: what follows it follows none that is there."""
    sessions = folded(*stories).sessions
    return {id: replace(session, linear=False) for id, session in sessions.items()}


async def project(read_model: ReadModel, records: Sequence[Record]) -> Sequence[DeadLetter]:
    """Project records as if they came next in the log."""
    start = (await read_model.positions_of([PARTITION]))[PARTITION]
    arrivals = [arrival_of(PARTITION, start + i, record) for i, record in enumerate(records)]
    return await read_model.project(
        arrivals, [PositionUpdate(PARTITION, start, start + len(records))]
    )


class Database:
    """A connection of the test's own to a read model."""

    def __init__(self, dsn: str, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        self.dsn, self.connection = dsn, connection

    async def rows(self) -> Rows:
        sessions = await self.connection.fetch(f"SELECT {_columns(SessionRow)} FROM sessions")
        messages = await self.connection.fetch(f"SELECT {_columns(MessageRow)} FROM messages")
        usage = await self.connection.fetch(f"SELECT {_columns(UsageRow)} FROM usage")
        used = [UsageRow(*parts, cost=int(cost)) for *parts, cost in usage]
        return Rows(
            {row["id"]: SessionRow(*row.values()) for row in sessions},
            {(row["session_id"], row["id"]): MessageRow(*row.values()) for row in messages},
            {row.key: row for row in used},
        )

    async def positions(self) -> dict[int, int]:
        rows = await self.connection.fetch("SELECT partition, next FROM positions")
        return {row["partition"]: row["next"] for row in rows}

    async def held(self) -> list[int]:
        rows = await self.connection.fetch("SELECT sequence FROM held_events ORDER BY sequence")
        return [row["sequence"] for row in rows]

    async def dead_letters(self) -> list[asyncpg.Record]:
        return await self.connection.fetch(
            'SELECT * FROM dead_letters ORDER BY partition, "offset"'
        )

    async def everything(self) -> bytes:
        """Every row of every table, as text with each byte string as it is."""
        found = b""
        for table in ("sessions", "messages", "usage", "held_events", "dead_letters", "positions"):
            for row in await self.connection.fetch(f"SELECT * FROM {table}"):
                parts = (v if isinstance(v, bytes) else str(v).encode() for v in row.values())
                found += b"\n".join(parts)
        return found

    async def versions(self, stories: Iterable[Story]) -> dict[UUID, int]:
        ids = [story.id for story in stories]
        rows = await self.connection.fetch(
            "SELECT id, version FROM sessions WHERE id = ANY($1)", ids
        )
        return {row["id"]: row["version"] for row in rows}

    async def migrate(self) -> None:
        await migrate_history(self.connection)
        await self.look_at(1)

    async def look_at(self, version: int) -> None:
        """What is asked here is asked of this version from now on."""
        await self.connection.execute(f"SET search_path = read_model_{version}, public")


def _columns(row: type[SessionRow] | type[MessageRow] | type[UsageRow]) -> str:
    return ", ".join(column.name for column in fields(row))


def projected(tables, stories):
    """Whether the read model has come as far as the stories."""

    async def far_enough():
        return await tables.versions(stories) == {story.id: story.version for story in stories}

    return far_enough

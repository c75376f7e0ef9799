"""Rows of a read model in the database, and the rows that the fold of a story yields."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import asyncpg
from msgspec.structs import fields, replace

from history_testing.stories import Story
from parley_events.cloudevents import Record
from parley_history.domain.batch import DeadLetter
from parley_history.domain.fold import evolve
from parley_history.domain.incoming_record import decode_incoming
from parley_history.domain.rows import MessageRow, SessionRow
from parley_history.domain.usage import UsageKey, UsageRow, sum_usage, usage_of
from parley_history.projection.active_read_model import ActiveReadModel
from parley_history.storage.database import DatabaseSettings
from parley_history.storage.positions import PositionUpdate
from parley_testing.role_sql import url_of_role

MAX_DEFERRED = 5
PARTITION = 3


def database_settings(dsn: str, pooler_url: str | None = None) -> DatabaseSettings:
    return DatabaseSettings(url=dsn, pooler_url=pooler_url)


@dataclass
class Rows:
    sessions: dict[UUID, SessionRow] = field(default_factory=dict)
    messages: dict[tuple[UUID, UUID], MessageRow] = field(default_factory=dict)
    usage: dict[UsageKey, UsageRow] = field(default_factory=dict)

    def of(self, *stories: Story) -> "Rows":
        ids = {story.id for story in stories}
        return Rows(
            {id: row for id, row in self.sessions.items() if id in ids},
            {key: row for key, row in self.messages.items() if key[0] in ids},
            {key: row for key, row in self.usage.items() if row.session_id in ids},
        )


def folded(*stories: Story) -> Rows:
    """Fold the stories without a database or a batch."""
    rows, usage = Rows(), list[UsageRow]()
    for story in stories:
        session = None
        for event in story.events:
            session, effect = evolve(session, event)
            usage += filter(None, [usage_of(session, event)])
            if isinstance(effect, MessageRow):
                rows.messages[story.id, effect.id] = effect
            elif effect:
                key = (story.id, effect.message_id)
                if (message := rows.messages[key]).turn_id is None:
                    rows.messages[key] = replace(message, turn_id=effect.turn_id)
        assert session is not None
        if session.erased_at is not None:
            rows.messages = {p: row for p, row in rows.messages.items() if p[0] != story.id}
        rows.sessions[story.id] = session
    rows.usage = sum_usage(usage)
    return rows


def branched(*stories: Story) -> dict[UUID, SessionRow]:
    """Fold sessions with a discarded message; a message without its parent is not linear."""
    sessions = folded(*stories).sessions
    return {id: replace(session, linear=False) for id, session in sessions.items()}


async def project(read_model: ActiveReadModel, records: Sequence[Record]) -> Sequence[DeadLetter]:
    """Project records as if they were next in the log."""
    start = (await read_model.positions_of([PARTITION]))[PARTITION]
    incoming = [decode_incoming(PARTITION, start + i, record) for i, record in enumerate(records)]
    return await read_model.apply(
        incoming, [PositionUpdate(PARTITION, start, start + len(records))]
    )


class ReadModelTables:
    """The tables of a read model, over a connection of the test.

    `dsn` is for the role that migrates, `runtime_dsn` for that of `project`, `reader_dsn` for that
    of `serve`.
    """

    def __init__(
        self, dsn: str, roles: Mapping[str, str], connection: "asyncpg.Connection[asyncpg.Record]"
    ) -> None:
        self.dsn, self.connection = dsn, connection
        self.runtime_dsn, self.reader_dsn = (
            url_of_role(dsn, roles[kind]) for kind in ("runtime", "reader")
        )
        self.settings = database_settings(self.runtime_dsn)

    async def rows(self) -> Rows:
        sessions = await self.connection.fetch(f"SELECT {_columns(SessionRow)} FROM sessions")
        messages = await self.connection.fetch(f"SELECT {_columns(MessageRow)} FROM messages")
        usage = await self.connection.fetch(f"SELECT {_columns(UsageRow)} FROM usage")
        used = [UsageRow(*[*parts, int(cost)]) for *parts, cost in usage]
        return Rows(
            {row["id"]: SessionRow(*row.values()) for row in sessions},
            {(row["session_id"], row["id"]): MessageRow(*row.values()) for row in messages},
            {row.key: row for row in used},
        )

    async def positions(self) -> dict[int, int]:
        rows = await self.connection.fetch("SELECT partition, next FROM positions")
        return {row["partition"]: row["next"] for row in rows}

    async def deferred(self) -> list[int]:
        rows = await self.connection.fetch("SELECT sequence FROM deferred_events ORDER BY sequence")
        return [row["sequence"] for row in rows]

    async def dead_letters(self) -> list[asyncpg.Record]:
        return await self.connection.fetch(
            'SELECT * FROM dead_letters ORDER BY partition, "offset"'
        )

    async def everything(self) -> bytes:
        """Return every row of every table as bytes; byte strings are unchanged."""
        found = b""
        for table in (
            "sessions",
            "messages",
            "usage",
            "deferred_events",
            "dead_letters",
            "positions",
        ):
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

    async def enter(self, version: int) -> None:
        """Resolve table names in this version from now on."""
        await self.connection.execute(f"SET search_path = read_model_{version}, public")


def _columns(row: type[SessionRow] | type[MessageRow] | type[UsageRow]) -> str:
    return ", ".join(column.name for column in fields(row))


def projected(tables: ReadModelTables, stories: Sequence[Story]) -> Callable[[], Awaitable[bool]]:
    """Return the condition that the read model has all events of the stories."""

    async def is_projected() -> bool:
        return await tables.versions(stories) == {story.id: story.version for story in stories}

    return is_projected

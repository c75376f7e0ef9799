"""Who waits for a session to move is woken when the projector has committed that it did."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import asyncpg

from parley_history.batch_tables import MOVED_CHANNEL, moved_sessions
from parley_history.database_trouble import DATABASE_TROUBLE

log = logging.getLogger(__name__)


class Movements:
    """Listens to the database on a connection of its own.

    Notifications only wake sooner: without them, who waits looks every `poll_seconds`.
    """

    def __init__(
        self, database: str, *, seconds: float, poll_seconds: float, pause_seconds: float
    ) -> None:
        self._database, self._seconds = database, seconds
        self._poll_seconds, self._pause_seconds = poll_seconds, pause_seconds
        self._waiting: defaultdict[UUID, set[asyncio.Event]] = defaultdict(set)

    @property
    def waiting(self) -> int:
        return sum(map(len, self._waiting.values()))

    @contextmanager
    def of(self, session_id: UUID) -> Iterator["Movement"]:
        """Enter it before looking at the session: what moves after the look then wakes."""
        moved = asyncio.Event()
        self._waiting[session_id].add(moved)
        try:
            yield Movement(moved, self._poll_seconds)
        finally:
            self._waiting[session_id].discard(moved)
            if not self._waiting[session_id]:
                del self._waiting[session_id]

    async def listen(self) -> None:
        """Until it is cancelled; a connection that is lost is made anew."""
        while True:
            try:
                await self._listen_once()
                log.info("The connection that listens was lost; it is made anew.")
            except DATABASE_TROUBLE as error:
                log.warning("The database cannot be listened to: %s", type(error).__name__)
            await asyncio.sleep(self._pause_seconds)

    async def _listen_once(self) -> None:
        lost = asyncio.Event()
        connection = await asyncpg.connect(
            self._database,
            timeout=self._seconds,
            command_timeout=self._seconds,
            server_settings={"application_name": "parley-history-listen"},
        )
        try:
            connection.add_termination_listener(lambda _: lost.set())
            await connection.add_listener(MOVED_CHANNEL, self._on_notification)
            await lost.wait()
        finally:
            connection.terminate()

    def _on_notification(self, _: object, __: int, ___: str, payload: object) -> None:
        for session_id in moved_sessions(str(payload)):
            for moved in self._waiting.get(session_id, ()):
                moved.set()


class Movement:
    def __init__(self, moved: asyncio.Event, poll_seconds: float) -> None:
        self._moved, self._poll_seconds = moved, poll_seconds

    async def next(self) -> None:
        """Return when the session has moved since the last call, or may have."""
        try:
            async with asyncio.timeout(self._poll_seconds):
                await self._moved.wait()
        except TimeoutError:
            return
        self._moved.clear()

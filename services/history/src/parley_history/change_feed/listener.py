"""Who follows the sessions is told when the projector has committed that one of them moved."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol
from uuid import UUID

import asyncpg

from parley_history.storage.database_errors import DATABASE_TROUBLE
from parley_history.storage.projection_tables import EVERYTHING, MOVED_CHANNEL, moved_sessions

log = logging.getLogger(__name__)


class Subscriber(Protocol):
    """What keeps something of sessions may keep it from `began` to `lost`, unless one moved.

    The three are called in the event loop, must not wait, and are called on each follower in turn.
    """

    def began(self) -> None:
        """From here on every movement is told."""

    def moved(self, session_ids: Sequence[UUID]) -> None: ...

    def lost(self) -> None:
        """From here on, until it begins again, movements may be missed."""


class ChangeFeed:
    """Listens to the database on a connection of its own, which it looks after.

    For who waits, notifications only wake sooner: without them they look every `poll_seconds`.
    """

    def __init__(
        self,
        database: str,
        *,
        seconds: float,
        poll_seconds: float,
        pause_seconds: float,
        look_seconds: float,
    ) -> None:
        self._database, self._seconds = database, seconds
        self._poll_seconds, self._pause_seconds = poll_seconds, pause_seconds
        self._look_seconds = look_seconds
        self._waiting: defaultdict[UUID, set[asyncio.Event]] = defaultdict(set)
        self._followers: list[Subscriber] = []
        self._listening = False

    @property
    def waiting(self) -> int:
        return sum(map(len, self._waiting.values()))

    @contextmanager
    def of(self, session_id: UUID) -> Iterator["Subscription"]:
        """Enter it before looking at the session: what moves after the look then wakes."""
        moved = asyncio.Event()
        self._waiting[session_id].add(moved)
        try:
            yield Subscription(moved, self._poll_seconds)
        finally:
            self._waiting[session_id].discard(moved)
            if not self._waiting[session_id]:
                del self._waiting[session_id]

    @contextmanager
    def followed_by(self, follower: Subscriber) -> Iterator[None]:
        self._followers.append(follower)
        if self._listening:
            follower.began()
        try:
            yield
        finally:
            self._followers.remove(follower)

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
            connection.add_termination_listener(lambda _: self._on_loss(lost))
            await connection.add_listener(MOVED_CHANNEL, self._on_notification)
            self._begin()
            while not await _within(lost, self._look_seconds):
                # A server that vanished closes nothing: its silence is the loss.
                await connection.execute(f"LISTEN {MOVED_CHANNEL}", timeout=self._look_seconds)
        finally:
            connection.terminate()
            self._on_loss(lost)

    def _begin(self) -> None:
        self._listening = True
        for follower in [*self._followers]:
            follower.began()

    def _on_loss(self, lost: asyncio.Event) -> None:
        lost.set()
        if self._listening:
            self._listening = False
            for follower in [*self._followers]:
                follower.lost()

    def _on_notification(self, _: object, __: int, ___: str, payload: object) -> None:
        try:
            session_ids = moved_sessions(str(payload)) if payload != EVERYTHING else []
        except ValueError:
            session_ids = []  # Of a later release: what moved is not known, so all may have.
        if not session_ids:
            self._on_everything()
            return
        for follower in [*self._followers]:
            follower.moved(session_ids)
        self._wake(session_ids)

    def _on_everything(self) -> None:
        """As after a loss: nobody may keep anything from before."""
        for follower in [*self._followers]:
            follower.lost()
            follower.began()
        self._wake([*self._waiting])

    def _wake(self, session_ids: Sequence[UUID]) -> None:
        for session_id in session_ids:
            for moved in self._waiting.get(session_id, ()):
                moved.set()


class Subscription:
    def __init__(self, moved: asyncio.Event, poll_seconds: float) -> None:
        self._moved, self._poll_seconds = moved, poll_seconds

    async def next(self) -> None:
        """Return when the session has moved since the last call, or may have."""
        if await _within(self._moved, self._poll_seconds):
            self._moved.clear()


async def _within(event: asyncio.Event, seconds: float) -> bool:
    """Whether the event is set by then."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True

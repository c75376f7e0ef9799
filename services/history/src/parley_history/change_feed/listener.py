"""Change feed: notifies subscribers and waiting requests of sessions that the projector changed."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol
from uuid import UUID

from parley_core.runtime.backoff import Backoff
from parley_history.storage.change_notifications import CHANNEL, changed_sessions, check_listening
from parley_history.storage.database import Connection, DatabaseSettings, connect
from parley_history.storage.database_errors import DATABASE_ERRORS

log = logging.getLogger(__name__)

# Notifications only shorten the wait; without them, waiting requests poll at this interval.
POLL_INTERVAL_SECONDS: float = 0.1
# A server that vanished closes no connection. Subscribers must learn of it within about a second,
# because a gateway serves cached pages for as long as it believes to be notified.
HEALTH_CHECK_INTERVAL_SECONDS: float = 1
RECONNECT_INITIAL_SECONDS: float = 0.1
RECONNECT_MAX_SECONDS: float = 1


class Subscriber(Protocol):
    """May keep cached state of sessions from `started` until `interrupted` or a change.

    The methods are called in the event loop for each subscriber in turn, so they must not block.
    """

    def started(self) -> None:
        """All changes from now on are reported."""

    def changed(self, session_ids: Sequence[UUID]) -> None: ...

    def interrupted(self) -> None:
        """Changes may be missed until the next `started`."""


class ChangeFeed:
    """Listens to the database on a dedicated connection, which it checks and reopens."""

    def __init__(self, database: DatabaseSettings) -> None:
        self._database = database
        self._waiters: defaultdict[UUID, set[asyncio.Event]] = defaultdict(set)
        self._subscribers: list[Subscriber] = []
        self._listening = False

    @property
    def waiters(self) -> int:
        """The number of requests that wait for a change."""
        return sum(map(len, self._waiters.values()))

    @contextmanager
    def watch(self, session_id: UUID) -> Iterator["Subscription"]:
        """Subscribe before reading the version; later changes then wake the waiter."""
        changed = asyncio.Event()
        self._waiters[session_id].add(changed)
        try:
            yield Subscription(changed)
        finally:
            self._waiters[session_id].discard(changed)
            if not self._waiters[session_id]:
                del self._waiters[session_id]

    @contextmanager
    def subscribed(self, subscriber: Subscriber) -> Iterator[None]:
        self._subscribers.append(subscriber)
        if self._listening:
            subscriber.started()
        try:
            yield
        finally:
            self._subscribers.remove(subscriber)

    async def listen(self) -> None:
        """Run until cancelled, reconnecting after each loss."""
        backoff = Backoff(RECONNECT_INITIAL_SECONDS, RECONNECT_MAX_SECONDS)
        while True:
            try:
                await self._listen_once(backoff)
                log.info("change feed disconnected, reconnecting")
            except DATABASE_ERRORS as error:
                log.warning("change feed cannot connect: %s", type(error).__name__)
            await asyncio.sleep(backoff.next_delay() or 0)

    async def _listen_once(self, backoff: Backoff) -> None:
        lost = asyncio.Event()
        connection = await connect(
            self._database,
            "parley-history-listen",
            statement_timeout_seconds=self._database.timeout_seconds,
        )
        try:
            connection.add_termination_listener(lambda _: self._on_loss(lost))
            await connection.add_listener(CHANNEL, self._on_notification)
            self._start()
            backoff.reset()
            await self._check_until(lost, connection)
        finally:
            connection.terminate()
            self._on_loss(lost)

    async def _check_until(self, lost: asyncio.Event, connection: Connection) -> None:
        while not await _is_set_within(lost, HEALTH_CHECK_INTERVAL_SECONDS):
            await check_listening(connection, HEALTH_CHECK_INTERVAL_SECONDS)

    def _start(self) -> None:
        self._listening = True
        for subscriber in [*self._subscribers]:
            subscriber.started()

    def _on_loss(self, lost: asyncio.Event) -> None:
        lost.set()
        if self._listening:
            self._listening = False
            for subscriber in [*self._subscribers]:
                subscriber.interrupted()

    def _on_notification(self, _: object, __: int, ___: str, payload: object) -> None:
        session_ids = changed_sessions(str(payload))
        if not session_ids:
            self._on_all_changed()
            return
        for subscriber in [*self._subscribers]:
            subscriber.changed(session_ids)
        self._wake(session_ids)

    def _on_all_changed(self) -> None:
        """Invalidate everything, as after a loss of the connection."""
        for subscriber in [*self._subscribers]:
            subscriber.interrupted()
            subscriber.started()
        self._wake([*self._waiters])

    def _wake(self, session_ids: Sequence[UUID]) -> None:
        for session_id in session_ids:
            for changed in self._waiters.get(session_id, ()):
                changed.set()


class Subscription:
    """Wakes one waiting request when its session changes."""

    def __init__(self, changed: asyncio.Event) -> None:
        self._changed = changed

    async def wait(self) -> None:
        """Return when the session has changed since the last call, or may have."""
        if await _is_set_within(self._changed, POLL_INTERVAL_SECONDS):
            self._changed.clear()


async def _is_set_within(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True

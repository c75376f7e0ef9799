"""One command on one session: load, decide, append; again when another append came first."""

import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from parley_core.auth.principal import Principal
from parley_core.crypto.master_keys import KeyDestroyed
from parley_core.crypto.sealing import DataKey, seal
from parley_core.http.errors import NotFound, Unavailable
from parley_core.runtime.offload import run_in_thread_if_large
from parley_events.session import Event, ReplyRequested
from parley_events.values import Actor
from parley_session.application.idempotency import IdempotentRequest
from parley_session.domain.session.commands import (
    Command,
    ImportMessages,
    StartSession,
    SubmitMessage,
)
from parley_session.domain.session.decide import decide
from parley_session.domain.session.errors import SessionNotFound
from parley_session.domain.session.event_builder import CommandMetadata, Seal
from parley_session.storage.event_store import EventStore, LoadedSession

Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Caller:
    """In whose name a command comes, and by which request; `system` is Parley itself."""

    person: Principal
    request_id: str
    system: bool = False


@dataclass(frozen=True, slots=True)
class CommandResult:
    """The session after the command; `events` are those that it made."""

    held: LoadedSession
    events: Sequence[Event]


@dataclass(frozen=True, slots=True)
class AlreadyExecuted:
    """The request was executed before, by another try of it."""

    session_id: UUID
    turn_id: UUID | None


CommandFor = Callable[[LoadedSession | None], Command | Awaitable[Command | AlreadyExecuted]]
"""The command, now that its session is known, or what did it before; raises to refuse it."""


class CommandExecutor:
    def __init__(self, store: EventStore, *, attempts: int, clock: Clock | None = None) -> None:
        self._store, self._attempts = store, attempts
        self._clock = clock or utc_now

    async def execute(
        self,
        session_id: UUID,
        command_for: CommandFor,
        asker: Caller,
        *,
        request: IdempotentRequest | None = None,
        loaded: LoadedSession | None = None,
    ) -> CommandResult | AlreadyExecuted:
        """`loaded` is the session, where the caller has just loaded it.

        Raises a Refusal, IdempotencyKeyReused, EventTooLarge, or Unavailable when contended.
        """
        for _ in range(self._attempts):
            held = loaded or await self._load(session_id)
            loaded = None  # What came meanwhile is loaded with the next attempt.
            # After the load: what it did not see yet, and what it did, is remembered by now.
            if request and (done := await self.done_before(request)):
                return done
            wanted = command_for(held)
            command = await wanted if isinstance(wanted, Awaitable) else wanted
            if isinstance(command, AlreadyExecuted):
                return command
            if executed := await self._attempt(held, command, asker, request):
                return executed
        raise Unavailable("The session is busy; try again.", code="session_busy")

    async def done_before(self, request: IdempotentRequest) -> AlreadyExecuted | None:
        """What a try with the same Idempotency-Key did. Raises IdempotencyKeyReused, NotFound."""
        try:
            recalled = await self._store.recall(request.digest)
        except KeyDestroyed:
            raise NotFound("There is no such session.", code="session_not_found") from None
        if recalled is None:
            return None
        remembered, key = recalled
        request.check_same(remembered, key)
        return AlreadyExecuted(remembered.session_id, remembered.turn_id)

    async def _load(self, session_id: UUID) -> LoadedSession | None:
        """Raises SessionNotFound for one that was erased."""
        try:
            return await self._store.load(session_id)
        except KeyDestroyed:
            raise SessionNotFound from None

    async def _attempt(
        self,
        held: LoadedSession | None,
        command: Command,
        asker: Caller,
        request: IdempotentRequest | None,
    ) -> CommandResult | None:
        """None when another append came first."""
        key = held.key if held else DataKey.generate()
        state = held.session if held else None
        moment, seal_content = moment_of(asker, self._clock()), _seal_with(key)
        events = await run_in_thread_if_large(
            _messages_in(command), lambda: decide(state, command, moment, seal_content)
        )
        if not events:
            assert held is not None
            return CommandResult(held, events)
        opened, session_id = _opened_by(events), events[0].session_id
        remember = request.remembered(key, session_id, opened) if request else None
        after = await self._store.append(held, events, key=key, remember=remember)
        return CommandResult(after, events) if after else None


def utc_now() -> datetime:
    return datetime.now(UTC)


def moment_of(asker: Caller, now: datetime) -> CommandMetadata:
    actor = Actor(tenant=asker.person.tenant, user=asker.person.user, system=asker.system)
    return CommandMetadata(actor, asker.request_id, now, secrets.randbits(74))


def _seal_with(key: DataKey) -> Seal:
    def sealed(session_id: UUID, event_id: UUID, field: str, plaintext: dict[str, Any]) -> bytes:
        return seal(key, plaintext, session_id=session_id, event_id=event_id, field=field)

    return sealed


def _messages_in(command: Command) -> int:
    match command:
        case StartSession(messages=messages) | ImportMessages(messages=messages):
            return len(messages)
        case SubmitMessage(preceding=preceding):
            return len(preceding) + 1
        case _:
            return 1


def _opened_by(events: Sequence[Event]) -> UUID | None:
    turns = (event.data.turn_id for event in events if isinstance(event.data, ReplyRequested))
    return next(turns, None)

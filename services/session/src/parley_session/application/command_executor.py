"""Executes a command on a session: load, decide, append, and retry after a concurrent append."""

import secrets
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol
from uuid import UUID

from parley_core.auth.caller import Caller
from parley_core.crypto.master_keys import KeyDestroyed
from parley_core.crypto.sealing import DataKey, seal
from parley_core.http.errors import NotFound, Unavailable
from parley_core.runtime.offload import run_in_thread_if_large
from parley_core.tracing.spans import current_traceparent, span
from parley_events.audit import AuditData
from parley_events.session import Event, ReplyRequested
from parley_events.values import Actor
from parley_session.application.audit.audit_data import audited_changes
from parley_session.application.idempotency import IdempotentRequest
from parley_session.application.turns.turn_limits import TurnLimits
from parley_session.domain.session.commands import (
    Command,
    ImportMessages,
    StartSession,
    SubmitMessage,
)
from parley_session.domain.session.decide import decide
from parley_session.domain.session.errors import SessionNotFound
from parley_session.domain.session.event_builder import CommandMetadata, Seal
from parley_session.storage.append.append_condition import AppendCondition
from parley_session.storage.event_store import EventStore, LoadedSession
from parley_session.storage.turn_counts import UsageWindows

MAX_APPEND_ATTEMPTS = 8
"""Attempts against concurrent appends; eight in a row mean that a client floods one stream."""

Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class CommandResult:
    """The session after the command, and the events that the command appended.

    With the `windows` of the limits that counted the turn that they open.
    """

    loaded: LoadedSession
    events: Sequence[Event]
    windows: UsageWindows | None = None


@dataclass(frozen=True, slots=True)
class AlreadyExecuted:
    """An earlier attempt of the same request executed the command, with this answer, if any."""

    session_id: UUID
    turn_id: UUID | None
    answer: bytes | None = None


@dataclass(frozen=True, slots=True)
class PreparedCommand:
    """A command with what its append needs.

    The append depends on the `condition` on the turn's row; if that changed, the command is built
    again. `answer` is kept for repeats of the request.
    """

    command: Command
    condition: AppendCondition | None = None
    answer: bytes | None = None


CommandFor = Callable[
    [LoadedSession | None],
    Command | Awaitable[Command | PreparedCommand | AlreadyExecuted],
]
"""Builds the command from the loaded session, or finds its earlier execution; raises to reject."""


class Admission(Protocol):
    def admit(self, turn_id: UUID, actor: Actor) -> AbstractAsyncContextManager[None]:
        """The block appends the turn. Raises a ParleyError to refuse it."""


class CommandExecutor:
    """Without an `admission` every turn that is within the limits is admitted."""

    def __init__(
        self,
        store: EventStore,
        admission: Admission | None = None,
        limits: TurnLimits | None = None,
        *,
        max_attempts: int = MAX_APPEND_ATTEMPTS,
        clock: Clock | None = None,
    ) -> None:
        self._store, self._admission, self._max_attempts = store, admission, max_attempts
        self._limits, self._clock = limits, clock or utc_now

    async def execute(
        self,
        session_id: UUID,
        command_for: CommandFor,
        caller: Caller,
        *,
        as_system: bool = False,
        request: IdempotentRequest | None = None,
        preloaded: LoadedSession | None = None,
        without_key: bool = False,
        audited: Sequence[AuditData] = (),
    ) -> CommandResult | AlreadyExecuted:
        """Execute in the name of the caller, or of Parley itself (`as_system`).

        `preloaded` saves the first load. A command `without_key` neither reads nor seals content.
        `audited` are records of the audit trail, besides those of the changes that are always
        recorded. Raises a DomainError, IdempotencyKeyReused,
        EventTooLarge, Unavailable if every attempt lost against a concurrent append, or the
        admission's refusal of a turn, LimitExceeded or BudgetExceeded.
        """
        for _ in range(self._max_attempts):
            loaded = preloaded or await self._load(session_id, without_key)
            preloaded = None  # The next attempt must see the concurrent append.
            # Checked after the load: an execution that the load did not see is found here.
            if request and (earlier := await self.find_previous_execution(request)):
                return earlier
            building = command_for(loaded)
            built = await building if isinstance(building, Awaitable) else building
            if isinstance(built, AlreadyExecuted):
                return built
            if not isinstance(built, PreparedCommand):
                built = PreparedCommand(built)
            with span("append") as appending:
                if appending.recording:
                    appending.set({"gen_ai.conversation.id": str(session_id)})
                metadata = command_metadata_for(caller, self._clock(), as_system=as_system)
                if result := await self._attempt(loaded, built, metadata, caller, request, audited):
                    return result
        raise Unavailable("The session is busy. Please retry.", code="session_busy")

    async def find_previous_execution(self, request: IdempotentRequest) -> AlreadyExecuted | None:
        """The execution of a request with the same Idempotency-Key.

        Raises IdempotencyKeyReused, and NotFound if its session was erased.
        """
        try:
            found = await self._store.find_idempotency_record(request.digest)
        except KeyDestroyed:
            raise NotFound("Session not found.", code="session_not_found") from None
        if found is None:
            return None
        record, key = found
        request.check_same(record, key)
        return AlreadyExecuted(record.session_id, record.turn_id, request.answer_in(record, key))

    async def _load(self, session_id: UUID, without_key: bool) -> LoadedSession | None:
        """Raises SessionNotFound for an erased session."""
        load = self._store.load_without_key if without_key else self._store.load
        try:
            return await load(session_id)
        except KeyDestroyed:
            raise SessionNotFound from None

    async def _attempt(
        self,
        loaded: LoadedSession | None,
        built: PreparedCommand,
        metadata: CommandMetadata,
        caller: Caller,
        request: IdempotentRequest | None,
        audited: Sequence[AuditData],
    ) -> CommandResult | None:
        """None if another append was committed first, or if the condition does not hold."""
        command = built.command
        key = loaded.key if loaded else DataKey.generate()
        session = loaded.session if loaded else None
        events = await run_in_thread_if_large(
            _message_count(command), lambda: decide(session, command, metadata, _seal_with(key))
        )
        if not events:
            assert loaded is not None
            return CommandResult(loaded, events)
        opened, session_id = _opened_turn(events), events[0].session_id
        turn_id = opened.turn_id if opened else None
        record = request.to_record(key, session_id, turn_id, built.answer) if request else None
        condition = built.condition
        if opened and self._limits:
            parameters = command.parameters if isinstance(command, SubmitMessage) else {}
            condition = await self._limits.condition(
                caller.principal, session, events, opened, parameters
            )
        tenant = session.tenant if session else metadata.actor.tenant
        changes = audited_changes(events, caller, tenant, as_system=metadata.actor.system)
        windows: list[UsageWindows] = []
        with self._limits.as_responses() if self._limits else nullcontext():
            async with self._admitted(turn_id, metadata.actor):
                after = await self._store.append(
                    loaded,
                    events,
                    key=key,
                    idempotency_record=record,
                    condition=condition,
                    audited=[*audited, *changes],
                    on_counted=windows.append,
                )
        return CommandResult(after, events, next(iter(windows), None)) if after else None

    def _admitted(self, turn_id: UUID | None, actor: Actor) -> AbstractAsyncContextManager[None]:
        # After the decision: a command that no runner is needed for, or that breaks a rule, is
        # not refused for want of room.
        if turn_id is None or self._admission is None:
            return nullcontext()
        return self._admission.admit(turn_id, actor)


def utc_now() -> datetime:
    return datetime.now(UTC)


def command_metadata_for(
    caller: Caller, now: datetime, *, as_system: bool = False
) -> CommandMetadata:
    principal = caller.principal
    actor = Actor(tenant=principal.tenant, user=principal.user, system=as_system)
    return CommandMetadata(
        actor, caller.request_id, now, secrets.randbits(74), current_traceparent()
    )


def _seal_with(key: DataKey) -> Seal:
    def sealed(session_id: UUID, event_id: UUID, field: str, plaintext: dict[str, Any]) -> bytes:
        return seal(key, plaintext, session_id=session_id, event_id=event_id, field=field)

    return sealed


def _message_count(command: Command) -> int:
    match command:
        case StartSession(messages=messages) | ImportMessages(messages=messages):
            return len(messages)
        case SubmitMessage(preceding=preceding):
            return len(preceding) + 1
        case _:
            return 1


def _opened_turn(events: Sequence[Event]) -> ReplyRequested | None:
    requested = (event.data for event in events if isinstance(event.data, ReplyRequested))
    return next(requested, None)

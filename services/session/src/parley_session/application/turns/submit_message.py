"""Opens turns: a user submits messages, or regenerates a reply."""

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import msgspec

from parley_contracts.api_models import Turn
from parley_contracts.session_api.limits import MAX_MESSAGE_BYTES, MAX_PARAMETERS_BYTES
from parley_contracts.session_api.turns import OnOpenTurn
from parley_core.auth.caller import Caller
from parley_core.auth.principal import Principal
from parley_core.crypto.sealing import DataKey
from parley_core.http.errors import ModelNotAllowed, TooLarge
from parley_core.runtime.offload import run_in_thread_if_large
from parley_events.cloudevents import EventTooLarge
from parley_events.session import Event, MessageSubmitted, ReplyRequested
from parley_session.application.assistants.assistant_catalogue import (
    AssistantCatalogue,
    CataloguedAssistant,
)
from parley_session.application.command_executor import (
    AlreadyExecuted,
    CommandExecutor,
    CommandFor,
    CommandResult,
)
from parley_session.application.event_mapper import message_of, parameters_of, turn_of
from parley_session.application.idempotency import IdempotentRequest
from parley_session.application.sessions.session_queries import SessionQueries, require_owned
from parley_session.application.token_counter import count_tokens
from parley_session.application.turns.stopped_turns import StoppedTurns
from parley_session.application.turns.turn_limits import TurnLimits
from parley_session.domain.session.commands import RegenerateReply, SubmitMessage, UserMessage
from parley_session.domain.session.state import Session
from parley_session.storage.event_store import EventStore, LoadedSession
from parley_session.storage.turn_store import TurnStore


@dataclass(frozen=True, slots=True)
class NewMessages:
    """A user's message `content`, after the messages `preceding` it.

    They follow the parent, nothing if `as_root`, or else the newest message. `model` overrides
    the assistant's, and `parameters` are for this turn. With `attach`, the newest turn is returned
    if these messages opened it, with these parameters.
    """

    content: str
    preceding: Sequence[str] = ()
    parent_message_id: UUID | None = None
    as_root: bool = False
    model: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    attach: bool = False

    @property
    def texts(self) -> Sequence[str]:
        return [*self.preceding, self.content]


@dataclass(frozen=True, slots=True)
class OpenedTurn:
    """`is_new` unless an earlier attempt opened it; `headers` show what is left of a limit."""

    turn: Turn
    is_new: bool
    headers: Mapping[str, str] = field(default_factory=dict)


class TurnCommands:
    def __init__(
        self,
        store: EventStore,
        turns: TurnStore,
        executor: CommandExecutor,
        sessions: SessionQueries,
        assistants: AssistantCatalogue,
        stopped_turns: StoppedTurns,
        limits: TurnLimits,
    ) -> None:
        self._store, self._turns, self._executor = store, turns, executor
        self._sessions, self._assistants = sessions, assistants
        self._stopped_turns, self._limits = stopped_turns, limits

    async def submit(
        self,
        session_id: UUID,
        new_messages: NewMessages,
        caller: Caller,
        request: IdempotentRequest | None,
        on_open_turn: OnOpenTurn,
    ) -> OpenedTurn:
        """The turn of the messages."""
        _require_sizes(new_messages)
        texts = new_messages.texts

        async def command_for(loaded: LoadedSession | None) -> SubmitMessage | AlreadyExecuted:
            owned = require_owned(caller.principal, loaded)
            if new_messages.attach and (
                earlier := await self._newest_turn_if_repeated(owned, new_messages)
            ):
                return earlier
            self._sessions.require_capacity(owned.session, len(texts))
            assistant = await self._assistant_of(owned.session)
            _require_model(caller.principal, new_messages.model or assistant.model)
            return await _submit_command(new_messages, assistant)

        return await self._open_turn(session_id, command_for, caller, request, on_open_turn)

    async def regenerate(
        self,
        session_id: UUID,
        message_id: UUID | None,
        caller: Caller,
        request: IdempotentRequest | None,
        on_open_turn: OnOpenTurn,
    ) -> OpenedTurn:
        """A new turn for the message, or for the newest user message."""

        async def command_for(loaded: LoadedSession | None) -> RegenerateReply:
            session = require_owned(caller.principal, loaded).session
            self._sessions.require_capacity(session)
            assistant = await self._assistant_of(session)
            _require_model(caller.principal, assistant.model)
            version = assistant.shape.version
            return RegenerateReply(message_id, uuid4(), uuid4(), assistant.model, version)

        return await self._open_turn(session_id, command_for, caller, request, on_open_turn)

    async def _assistant_of(self, session: Session) -> CataloguedAssistant:
        return await self._assistants.get(session.tenant, session.assistant_id)

    async def _newest_turn_if_repeated(
        self, loaded: LoadedSession, new_messages: NewMessages
    ) -> AlreadyExecuted | None:
        """The session's newest turn, if exactly these messages and parameters opened it."""
        session, texts = loaded.session, new_messages.texts
        newest = session.newest_turn_id
        if newest is None:
            return None
        last, requested = (await self._turns.find(newest)).sequences[:2]
        if requested != last + 1:
            # A regenerated reply: its message came in an earlier append.
            return None
        before = last - len(texts)
        *events, request = await self._store.events_at(session.id, range(before, requested + 1))
        stored = [_submitted_text(event, loaded.key) for event in events]
        # The event before the first message must not be another submitted message.
        if stored != [None, *texts]:
            return None
        same = parameters_of(request, loaded.key) == new_messages.parameters
        return AlreadyExecuted(session.id, newest) if same else None

    async def _open_turn(
        self,
        session_id: UUID,
        command_for: CommandFor,
        caller: Caller,
        request: IdempotentRequest | None,
        on_open_turn: OnOpenTurn,
    ) -> OpenedTurn:
        def execute() -> Awaitable[CommandResult | AlreadyExecuted]:
            return self._executor.execute(session_id, command_for, caller, request=request)

        try:
            result = await self._stopped_turns.execute(session_id, execute, caller, on_open_turn)
        except EventTooLarge:
            raise _too_large("content") from None
        if isinstance(result, AlreadyExecuted):
            assert result.turn_id is not None
            turn = await self._sessions.read_turn(result.turn_id, caller.principal)
            return OpenedTurn(turn, is_new=False)
        loaded, events = result.loaded, result.events
        requested = events[-1].data
        assert isinstance(requested, ReplyRequested)
        headers = await self._limits.token_headers(
            caller.principal, requested.model, result.windows
        )
        if len(events) == 1:
            # A regenerated reply: its message came in an earlier append.
            sequences = _sequences_of_open_turn(loaded.session)
            turn = await self._sessions.read_turn_at(loaded, sequences)
        else:
            turn = turn_of(loaded.session, events[-2:], loaded.key)
        return OpenedTurn(turn, is_new=True, headers=headers)


def _require_model(principal: Principal, model: str) -> None:
    """Raises ModelNotAllowed."""
    if not principal.may_use(model):
        raise ModelNotAllowed(model)


async def _submit_command(
    new_messages: NewMessages, assistant: CataloguedAssistant
) -> SubmitMessage:
    model, texts = new_messages.model or assistant.model, new_messages.texts
    tokens = await run_in_thread_if_large(
        len(texts), lambda: [count_tokens(model, text) for text in texts]
    )
    return SubmitMessage(
        message_id=uuid4(),
        turn_id=uuid4(),
        reply_id=uuid4(),
        content=new_messages.content,
        model=model,
        parent_message_id=new_messages.parent_message_id,
        as_root=new_messages.as_root,
        tokens=tokens[-1],
        assistant_version=assistant.shape.version,
        parameters=new_messages.parameters,
        preceding=[
            UserMessage(uuid4(), text, count)
            for text, count in zip(new_messages.preceding, tokens, strict=False)
        ],
    )


def _submitted_text(event: Event, key: DataKey) -> str | None:
    if not isinstance(event.data, MessageSubmitted):
        return None
    return message_of(event, None, key).content


def _sequences_of_open_turn(session: Session) -> Sequence[int]:
    """For a turn that the session's last event opened."""
    assert session.open_turn is not None
    return [session.messages[session.open_turn.message_id].sequence, session.version]


def _require_sizes(new_messages: NewMessages) -> None:
    if len(msgspec.json.encode(new_messages.parameters)) > MAX_PARAMETERS_BYTES:
        raise TooLarge(
            f"The parameters of a turn have at most {MAX_PARAMETERS_BYTES} bytes as JSON.",
            param="parameters",
        )
    for number, text in enumerate(new_messages.texts):
        if len(text.encode()) > MAX_MESSAGE_BYTES:
            is_last = number == len(new_messages.preceding)
            raise _too_large("content" if is_last else f"preceding.{number}")


def _too_large(param: str) -> TooLarge:
    return TooLarge(
        f"A message has at most {MAX_MESSAGE_BYTES} bytes of UTF-8.",
        code="message_too_large",
        param=param,
    )

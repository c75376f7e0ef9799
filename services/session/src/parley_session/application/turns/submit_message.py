"""What opens a turn: a person says something, or has a reply made again."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID, uuid4

from parley_contracts.api_models import Turn
from parley_contracts.session_api.limits import MAX_MESSAGE_BYTES
from parley_core.crypto.sealing import DataKey
from parley_core.http.errors import TooLarge
from parley_core.runtime.offload import run_in_thread_if_large
from parley_events.cloudevents import EventTooLarge
from parley_events.session import Event, MessageSubmitted
from parley_session.application.assistants.assistant_catalogue import Catalogue, CataloguedAssistant
from parley_session.application.command_executor import (
    AlreadyExecuted,
    Caller,
    CommandExecutor,
    CommandFor,
)
from parley_session.application.event_mapper import message_of, turn_of
from parley_session.application.idempotency import IdempotentRequest
from parley_session.application.sessions.session_queries import SessionQueries, owned_by
from parley_session.application.token_counter import tokens_in
from parley_session.domain.session.commands import RegenerateReply, SubmitMessage, UserMessage
from parley_session.domain.session.state import Session
from parley_session.storage.event_store import EventStore, LoadedSession
from parley_session.storage.turn_store import TurnStore


@dataclass(frozen=True, slots=True)
class NewMessages:
    """What a person says: `content`, right after the messages `preceding` it.

    They follow their parent, nothing where they begin, and else the newest message. A model is
    asked instead of the assistant's. One that may attach makes nothing where it was said just now.
    """

    content: str
    preceding: Sequence[str] = ()
    parent_message_id: UUID | None = None
    begins: bool = False
    model: str | None = None
    attach: bool = False

    @property
    def texts(self) -> Sequence[str]:
        return [*self.preceding, self.content]


class TurnCommands:
    def __init__(
        self,
        store: EventStore,
        turns: TurnStore,
        executor: CommandExecutor,
        sessions: SessionQueries,
        assistants: Catalogue,
    ) -> None:
        self._store, self._turns, self._executor = store, turns, executor
        self._sessions, self._assistants = sessions, assistants

    async def submit(
        self,
        session_id: UUID,
        saying: NewMessages,
        asker: Caller,
        request: IdempotentRequest | None,
    ) -> tuple[Turn, bool]:
        """The turn that answers what is said, and whether it is new."""
        _require_sizes(saying)

        async def command_for(held: LoadedSession | None) -> SubmitMessage | AlreadyExecuted:
            owned = owned_by(asker.person, held)
            if saying.attach and (done := await self._said_just_now(owned, saying.texts)):
                return done
            self._sessions.require_room(owned.session, len(saying.texts))
            return await _submit(saying, await self._assistant_of(owned.session))

        return await self._opened(session_id, command_for, asker, request)

    async def regenerate(
        self,
        session_id: UUID,
        message_id: UUID | None,
        asker: Caller,
        request: IdempotentRequest | None,
    ) -> tuple[Turn, bool]:
        """The turn that answers the message, or what was asked last, again."""

        async def command_for(held: LoadedSession | None) -> RegenerateReply:
            owned = owned_by(asker.person, held).session
            self._sessions.require_room(owned)
            assistant = await self._assistant_of(owned)
            version = assistant.shape.version
            return RegenerateReply(message_id, uuid4(), uuid4(), assistant.model, version)

        return await self._opened(session_id, command_for, asker, request)

    async def _assistant_of(self, session: Session) -> CataloguedAssistant:
        return await self._assistants.get(session.tenant, session.assistant_id)

    async def _said_just_now(
        self, held: LoadedSession, texts: Sequence[str]
    ) -> AlreadyExecuted | None:
        """The session's newest turn, where just these messages opened it."""
        session = held.session
        newest = session.newest_turn_id
        if newest is None:
            return None
        last, requested = (await self._turns.find(newest)).sequences[:2]
        if requested != last + 1:
            # It answers again what was said earlier.
            return None
        before = last - len(texts)
        events = await self._store.events_at(session.id, range(before, requested))
        said = [_said_in(event, held.key) for event in events]
        return AlreadyExecuted(session.id, newest) if said == [None, *texts] else None

    async def _opened(
        self,
        session_id: UUID,
        command_for: CommandFor,
        asker: Caller,
        request: IdempotentRequest | None,
    ) -> tuple[Turn, bool]:
        try:
            done = await self._executor.execute(session_id, command_for, asker, request=request)
        except EventTooLarge:
            raise _too_large("content") from None
        if isinstance(done, AlreadyExecuted):
            assert done.turn_id is not None
            return await self._sessions.turn(done.turn_id, asker.person), False
        held, events = done.held, done.events
        if len(events) == 1:
            # What is answered again came in an earlier append.
            return await self._sessions.turn_in(held, _places_of_turn(held.session)), True
        return turn_of(held.session, events[-2:], held.key), True


async def _submit(saying: NewMessages, assistant: CataloguedAssistant) -> SubmitMessage:
    model, texts = saying.model or assistant.model, saying.texts
    tokens = await run_in_thread_if_large(
        len(texts), lambda: [tokens_in(model, text) for text in texts]
    )
    return SubmitMessage(
        message_id=uuid4(),
        turn_id=uuid4(),
        reply_id=uuid4(),
        content=saying.content,
        model=model,
        parent_message_id=saying.parent_message_id,
        begins=saying.begins,
        tokens=tokens[-1],
        assistant_version=assistant.shape.version,
        preceding=[
            UserMessage(uuid4(), text, count)
            for text, count in zip(saying.preceding, tokens, strict=False)
        ],
    )


def _said_in(event: Event, key: DataKey) -> str | None:
    if not isinstance(event.data, MessageSubmitted):
        return None
    return message_of(event, None, key).content


def _places_of_turn(session: Session) -> Sequence[int]:
    """Of a turn that was opened by the session's last event."""
    assert session.open_turn is not None
    return [session.messages[session.open_turn.message_id].sequence, session.version]


def _require_sizes(saying: NewMessages) -> None:
    for number, text in enumerate(saying.texts):
        if len(text.encode()) > MAX_MESSAGE_BYTES:
            is_last = number == len(saying.preceding)
            raise _too_large("content" if is_last else f"preceding.{number}")


def _too_large(param: str) -> TooLarge:
    return TooLarge(
        f"A message has {MAX_MESSAGE_BYTES} bytes of UTF-8 at most.",
        code="message_too_large",
        param=param,
    )

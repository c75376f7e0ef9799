"""What a person does in a session: read it, submit a message, have a reply made again."""

from collections.abc import Sequence
from uuid import UUID, uuid4

from parley_core.cloudevents import EventTooLarge
from parley_core.errors import Conflict, TooLarge
from parley_core.events import Event
from parley_core.principal import Principal
from parley_core.sealing import KeyDestroyed
from parley_core.shapes import MESSAGE_BYTES, SessionShape, Turn
from parley_session.catalogue import Catalogue
from parley_session.contents import session_of, turn_of
from parley_session.domain.commands import RegenerateReply, RequestCancel, SubmitMessage
from parley_session.domain.refusals import SessionUnknown, TurnUnknown
from parley_session.domain.state import Session
from parley_session.event_store import EventStore, Held
from parley_session.executing import Asker, CommandFor, DoneBefore, Executor
from parley_session.idempotency import KeyedRequest
from parley_session.tokens import tokens_in
from parley_session.turn_store import TurnStore


class Sessions:
    def __init__(
        self,
        store: EventStore,
        turns: TurnStore,
        executor: Executor,
        assistants: Catalogue,
        *,
        most_messages: int,
    ) -> None:
        self._store, self._turns, self._executor = store, turns, executor
        self._assistants, self._most_messages = assistants, most_messages

    async def read(self, session_id: UUID, person: Principal) -> SessionShape:
        return await self.shape(await self.owned(session_id, person), person)

    async def submit(
        self,
        session_id: UUID,
        content: str,
        asker: Asker,
        request: KeyedRequest | None,
        *,
        parent_message_id: UUID | None = None,
        begins: bool = False,
    ) -> tuple[Turn, bool]:
        """The turn that answers the message, and whether it is new.

        It follows its parent, nothing where it `begins`, and else the newest message.
        """
        if len(content.encode()) > MESSAGE_BYTES:
            raise _too_large()

        async def command_for(held: Held | None) -> SubmitMessage:
            owned = owned_by(asker.person, held).session
            self.require_room(owned)
            assistant = await self._assistants.get(owned.tenant, owned.assistant_id)
            return SubmitMessage(
                message_id=uuid4(),
                turn_id=uuid4(),
                reply_id=uuid4(),
                content=content,
                model=assistant.model,
                parent_message_id=parent_message_id,
                begins=begins,
                tokens=tokens_in(assistant.model, content),
                assistant_version=assistant.shape.version,
            )

        return await self._opened(session_id, command_for, asker, request)

    async def regenerate(
        self,
        session_id: UUID,
        message_id: UUID | None,
        asker: Asker,
        request: KeyedRequest | None,
    ) -> tuple[Turn, bool]:
        """The turn that answers the message, or what was asked last, again."""

        async def command_for(held: Held | None) -> RegenerateReply:
            owned = owned_by(asker.person, held).session
            self.require_room(owned)
            assistant = await self._assistants.get(owned.tenant, owned.assistant_id)
            version = assistant.shape.version
            return RegenerateReply(message_id, uuid4(), uuid4(), assistant.model, version)

        return await self._opened(session_id, command_for, asker, request)

    async def turn(self, turn_id: UUID, person: Principal) -> Turn:
        """A turn as it is now. Raises TurnUnknown also for one in another person's session."""
        row = await self._turns.find(turn_id)
        try:
            held = await self.owned(row.session_id, person)
        except SessionUnknown:
            raise TurnUnknown from None
        return await self.turn_in(held, row.sequences)

    async def cancel(self, turn_id: UUID, asker: Asker) -> Turn:
        """Ask for the end of a turn, and answer it as it is then; again, it changes nothing.

        Whoever runs the turn ends it. Raises TurnUnknown.
        """
        row = await self._turns.find(turn_id)
        try:
            await self._executor.execute(row.session_id, lambda _: RequestCancel(turn_id), asker)
        except SessionUnknown:
            raise TurnUnknown from None
        return await self.turn(turn_id, asker.person)

    async def turn_in(self, held: Held, sequences: Sequence[int]) -> Turn:
        """The turn whose events have these sequences."""
        events = await self._store.events_at(held.session.id, sequences)
        return turn_of(held.session, events, held.key)

    async def owned(self, session_id: UUID, person: Principal) -> Held:
        """Raises SessionUnknown also for another person's session, and for one that is gone."""
        try:
            held = await self._store.load(session_id)
        except KeyDestroyed:
            held = None
        return owned_by(person, held)

    async def shape(self, held: Held, person: Principal) -> SessionShape:
        session = held.session
        return session_of(session, await self.described(session), held.key, person)

    async def described(self, session: Session) -> dict[int, Event]:
        """The first event, and those that hold title and metadata."""
        places = {1, session.title_sequence or 1, session.metadata_sequence or 1}
        events = await self._store.events_at(session.id, places)
        return {event.sequence: event for event in events}

    def require_room(self, session: Session, messages: int = 1) -> None:
        """Raises Conflict when the session cannot have that many more messages."""
        if len(session.messages) + messages > self._most_messages:
            raise Conflict(
                f"A session has {self._most_messages} messages at most: start another.",
                code="session_full",
            )

    async def _opened(
        self,
        session_id: UUID,
        command_for: CommandFor,
        asker: Asker,
        request: KeyedRequest | None,
    ) -> tuple[Turn, bool]:
        try:
            done = await self._executor.execute(session_id, command_for, asker, request=request)
        except EventTooLarge:
            raise _too_large() from None
        if isinstance(done, DoneBefore):
            assert done.turn_id is not None
            return await self.turn(done.turn_id, asker.person), False
        if len(done.events) == 1:
            # What is answered again came in an earlier append.
            return await self.turn_in(done.held, _places_of_turn(done.held.session)), True
        return turn_of(done.held.session, done.events, done.held.key), True


def owned_by(person: Principal, held: Held | None) -> Held:
    """Raises SessionUnknown."""
    if held is None or held.session.erased or held.session.deleted:
        raise SessionUnknown
    if (held.session.tenant, held.session.owner) != (person.tenant, person.user):
        raise SessionUnknown
    return held


def _places_of_turn(session: Session) -> Sequence[int]:
    """Of a turn that was opened by the session's last event."""
    assert session.open_turn is not None
    return [session.messages[session.open_turn.message_id].sequence, session.version]


def _too_large() -> TooLarge:
    return TooLarge(
        f"A message has {MESSAGE_BYTES} bytes of UTF-8 at most.",
        code="message_too_large",
        param="content",
    )

"""What a person does with sessions: start, read, switch the assistant, submit a message."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from parley_core.cloudevents import EventTooLarge
from parley_core.errors import Conflict, TooLarge
from parley_core.events import Event, ReplyRequested
from parley_core.principal import Principal
from parley_core.sealing import KeyDestroyed
from parley_core.shapes import MESSAGE_BYTES, Message, SessionShape, Turn
from parley_session.assistants import Assistants
from parley_session.contents import message_of, session_of, turn_of
from parley_session.domain.commands import RequestCancel, StartSession, SubmitMessage
from parley_session.domain.refusals import SessionIdUnavailable, SessionUnknown, TurnUnknown
from parley_session.domain.state import Session
from parley_session.event_store import EventStore, Held
from parley_session.executing import Asker, DoneBefore, Executor
from parley_session.idempotency import KeyedRequest
from parley_session.turn_store import TurnStore

SWITCH_MESSAGES = 20


@dataclass(frozen=True, slots=True)
class Switched:
    session: SessionShape
    created: bool
    messages: Sequence[Message]


class Sessions:
    def __init__(
        self,
        store: EventStore,
        turns: TurnStore,
        executor: Executor,
        assistants: Assistants,
        *,
        most_messages: int,
    ) -> None:
        self._store, self._turns, self._executor = store, turns, executor
        self._assistants, self._most_messages = assistants, most_messages

    async def start(
        self,
        asker: Asker,
        request: KeyedRequest | None,
        *,
        session_id: UUID | None = None,
        assistant_id: str | None = None,
        title: str | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> tuple[SessionShape, bool]:
        """The session, and whether it is new. Raises NotFound for an unknown assistant."""
        assistant = self._assistants.get(assistant_id).shape
        if session_id is None:
            session_id = request.derived_id if request else uuid4()
        command = StartSession(session_id, assistant.id, assistant.version, title, metadata)
        try:
            done = await self._executor.execute(
                session_id, lambda _: command, asker, request=request
            )
        except EventTooLarge:
            raise TooLarge("Title and metadata are too large.", code="session_too_large") from None
        except SessionUnknown:
            # Erased: its id stays taken.
            raise SessionIdUnavailable from None
        if isinstance(done, DoneBefore):
            return await self.read(done.session_id, asker.person), False
        return await self._shape(done.held), True

    async def read(self, session_id: UUID, person: Principal) -> SessionShape:
        return await self._shape(await self.owned(session_id, person))

    async def switch(
        self, asker: Asker, request: KeyedRequest | None, assistant_id: str
    ) -> Switched:
        """The person's latest session with the assistant, or a new one."""
        self._assistants.get(assistant_id)
        person = asker.person
        if request and (done := await self._executor.done_before(request)):
            latest: UUID | None = done.session_id
        else:
            latest = await self._store.latest_session(person.tenant, person.user, assistant_id)
        if latest is None:
            session, created = await self.start(asker, request, assistant_id=assistant_id)
            return Switched(session, created, [])
        held = await self.owned(latest, person)
        return Switched(await self._shape(held), False, await self._last_messages(held))

    async def submit(
        self, session_id: UUID, content: str, asker: Asker, request: KeyedRequest | None
    ) -> tuple[Turn, bool]:
        """The turn that answers the message, and whether it is new."""
        if len(content.encode()) > MESSAGE_BYTES:
            raise _too_large()

        def command_for(session: Session | None) -> SubmitMessage:
            owned = _owned(session, asker.person)
            self._require_room(owned)
            return SubmitMessage(
                message_id=uuid4(),
                turn_id=uuid4(),
                reply_id=uuid4(),
                content=content,
                model=self._assistants.get(owned.assistant_id).model,
            )

        try:
            done = await self._executor.execute(session_id, command_for, asker, request=request)
        except EventTooLarge:
            raise _too_large() from None
        if isinstance(done, DoneBefore):
            assert done.turn_id is not None
            return await self.turn(done.turn_id, asker.person), False
        return turn_of(done.held.session, done.events, done.held.key), True

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
        """Raises SessionUnknown also for another person's session, and for an erased one."""
        try:
            held = await self._store.load(session_id)
        except KeyDestroyed:
            held = None
        _owned(held.session if held else None, person)
        assert held is not None
        return held

    def _require_room(self, session: Session) -> None:
        if len(session.messages) >= self._most_messages:
            raise Conflict(
                f"This session has {self._most_messages} messages, the most that one may have: "
                "start another.",
                code="session_full",
            )

    async def _shape(self, held: Held) -> SessionShape:
        [started] = await self._store.events_at(held.session.id, [1])
        return session_of(held.session, started, held.key)

    async def _last_messages(self, held: Held) -> list[Message]:
        sequences = sorted(place.sequence for place in held.session.messages.values())
        shown = sequences[-SWITCH_MESSAGES:]
        # What a person said is followed by its turn, in the same append.
        with_turns = {*shown, *(sequence + 1 for sequence in shown)}
        events = {e.sequence: e for e in await self._store.events_at(held.session.id, with_turns)}
        return [
            message_of(events[place], _turn_opened_by(events.get(place + 1)), held.key)
            for place in shown
        ]


def _owned(session: Session | None, person: Principal) -> Session:
    if session is None or (session.tenant, session.owner) != (person.tenant, person.user):
        raise SessionUnknown
    return session


def _turn_opened_by(event: Event | None) -> UUID | None:
    return event.data.turn_id if event and isinstance(event.data, ReplyRequested) else None


def _too_large() -> TooLarge:
    return TooLarge(
        f"A message has {MESSAGE_BYTES} bytes of UTF-8 at most.",
        code="message_too_large",
        param="content",
    )

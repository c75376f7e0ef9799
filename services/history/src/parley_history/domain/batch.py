"""A batch of arrivals, taken one by one: what it changes, to be written in one transaction."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID

from msgspec.structs import replace

from parley_events.session import Event
from parley_history.domain.discarded_record import DiscardedRecord, record_digest
from parley_history.domain.fold import BrokenStream, evolve
from parley_history.domain.incoming_record import IncomingRecord
from parley_history.domain.rows import MessageRow, SessionRow, TurnOfMessage
from parley_history.domain.sequencing import SequenceCheck, order_of
from parley_history.domain.usage import UsageKey, UsageRow, summed, usage_of

PARKED_BEFORE = "the session was parked before"
FORKED = "the store has forked: the session has another event at this sequence"


@dataclass(frozen=True, slots=True)
class BatchState:
    """What is kept of the sessions of a batch.

    `held` is by sequence; `discarded` has the digests of the records that were discarded, and the
    session that the key of each names.
    """

    sessions: Mapping[UUID, SessionRow] = field(default_factory=dict)
    held: Mapping[UUID, Mapping[int, IncomingRecord]] = field(default_factory=dict)
    parked: frozenset[UUID] = frozenset()
    discarded: Mapping[bytes, UUID | None] = field(default_factory=dict)


class DeadLetter(NamedTuple):
    arrival: IncomingRecord
    error: str


class Batch:
    """Of each session at most `most_held` events are held; one more parks it.

    A record that was discarded fills its place without effect, and never parks its session. Of the
    `erased` sessions, what was written before has to go.
    """

    def __init__(self, known: BatchState, most_held: int) -> None:
        self.sessions: dict[UUID, SessionRow] = {}
        self.erased: set[UUID] = set()
        self.turns: list[TurnOfMessage] = []
        self.dead_letters: list[DeadLetter] = []
        self.newly_parked: list[DeadLetter] = []
        self.released: list[tuple[UUID, int]] = []
        self._used: list[UsageRow] = []
        self._messages: dict[tuple[UUID, UUID], MessageRow] = {}
        self._known, self._most_held = known, most_held
        self._parked = set(known.parked)
        self._without = frozenset(known.discarded.values())
        self._held: defaultdict[UUID, dict[int, IncomingRecord]] = defaultdict(dict)
        for session_id, held in known.held.items():
            self._held[session_id] |= {place: self._counted(one) for place, one in held.items()}

    def take(self, arrival: IncomingRecord) -> None:
        if arrival.session_id in self._parked:
            self.dead_letters.append(DeadLetter(arrival, arrival.error or PARKED_BEFORE))
            return
        arrival = self._counted(arrival)
        if arrival.event is None:
            self._park(arrival, arrival.error or "")
        else:
            self._place(arrival, arrival.event)

    @property
    def messages(self) -> Mapping[tuple[UUID, UUID], MessageRow]:
        """All but those of erased sessions."""
        if not self.erased:
            return self._messages
        messages = self._messages.items()
        return {place: row for place, row in messages if row.session_id not in self.erased}

    @property
    def usage(self) -> Mapping[UsageKey, UsageRow]:
        """What is added to each row of usage; erased sessions' is kept."""
        return summed(self._used)

    @property
    def newly_held(self) -> list[IncomingRecord]:
        return [
            arrival
            for session_id, held in self._held.items()
            for sequence, arrival in held.items()
            if sequence not in self._known.held.get(session_id, {})
        ]

    def _counted(self, arrival: IncomingRecord) -> IncomingRecord:
        """The arrival as it counts: without effect if it was discarded."""
        # A digest costs more than all the rest, and few sessions have lost a record.
        if arrival.session_id not in self._without:
            return arrival
        discarded = record_digest(arrival.record) in self._known.discarded
        return arrival.as_discarded() if discarded else arrival

    def _place(self, arrival: IncomingRecord, event: Event | DiscardedRecord) -> None:
        match order_of(self._session(event.session_id), event):
            case SequenceCheck.NEXT:
                self._apply(arrival, event)
                self._replay_deferred(event.session_id)
            case SequenceCheck.BEYOND:
                self._defer(arrival, event)
            case SequenceCheck.FORK:
                self._park(arrival, FORKED)
            case SequenceCheck.REPEAT:
                pass

    def _apply(self, arrival: IncomingRecord, event: Event | DiscardedRecord) -> None:
        try:
            session, brought = evolve(self._session(event.session_id), event)
            used = usage_of(session, event)
            if isinstance(brought, MessageRow):
                self._add(brought)
        except BrokenStream as broken:
            self._park(arrival, str(broken))
            return
        except MemoryError:
            raise
        except Exception as surprise:
            # The fold is pure: what fails now always does. It would stop every other session too.
            self._park(arrival, f"it cannot be applied: {type(surprise).__name__}")
            return
        self.sessions[session.id] = session
        if used is not None:
            self._used.append(used)
        if isinstance(brought, TurnOfMessage):
            self._link(brought)
        elif session.erased_at is not None:
            self.erased.add(session.id)
            self._held.pop(session.id, None)

    def _add(self, message: MessageRow) -> None:
        place = (message.session_id, message.id)
        if place in self._messages:
            raise BrokenStream("the id of the message was used before")
        self._messages[place] = message

    def _link(self, link: TurnOfMessage) -> None:
        place = (link.session_id, link.message_id)
        if (message := self._messages.get(place)) is None:
            self.turns.append(link)
        elif message.turn_id is None:
            self._messages[place] = replace(message, turn_id=link.turn_id)

    def _defer(self, arrival: IncomingRecord, event: Event | DiscardedRecord) -> None:
        held = self._held[event.session_id]
        other = held.get(event.sequence)
        if other is None and len(held) >= self._most_held and not arrival.discarded:
            self._park(arrival, f"more than {self._most_held} events wait for one that is missing")
        elif other is None:
            held[event.sequence] = arrival
        elif other.event is not None and other.event.id != event.id:
            self._park(arrival, FORKED)

    def _replay_deferred(self, session_id: UUID) -> None:
        """Apply what was held for the events that came by now."""
        held = self._held.get(session_id)
        while held and session_id not in self._parked:
            if (session := self._session(session_id)) is None:
                return
            sequence = session.version + 1
            if (arrival := held.pop(sequence, None)) is None:
                return
            if sequence in self._known.held.get(session_id, {}):
                self.released.append((session_id, sequence))
            if arrival.event is None:  # It could be decoded when it came.
                self._park(arrival, arrival.error or "")
            else:
                self._apply(arrival, arrival.event)

    def _park(self, arrival: IncomingRecord, error: str) -> None:
        if arrival.discarded:
            return
        letter = DeadLetter(arrival, error)
        self.dead_letters.append(letter)
        self.newly_parked.append(letter)
        if arrival.session_id is not None:
            self._parked.add(arrival.session_id)

    def _session(self, session_id: UUID) -> SessionRow | None:
        return self.sessions.get(session_id) or self._known.sessions.get(session_id)

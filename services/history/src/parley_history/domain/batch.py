"""A batch of incoming records: collects the changes to write in one transaction."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID

from msgspec.structs import replace

from parley_events.consumer_rule import SequenceCheck
from parley_events.session import Event
from parley_history.domain.discarded_record import DiscardedRecord, record_digest
from parley_history.domain.fold import InapplicableEvent, evolve
from parley_history.domain.incoming_record import IncomingRecord
from parley_history.domain.rows import MessageRow, SessionRow, TurnLink
from parley_history.domain.sequencing import check_sequence
from parley_history.domain.usage import UsageKey, UsageRow, sum_usage, usage_of

ALREADY_PARKED = "the session is already parked"
FORKED = "the event store has forked: another event was applied at this sequence"


@dataclass(frozen=True, slots=True)
class BatchState:
    """The stored state of the sessions of a batch.

    `deferred` is keyed by sequence. `discarded` maps the digests of discarded records to the
    session that the key of each names.
    """

    sessions: Mapping[UUID, SessionRow] = field(default_factory=dict)
    deferred: Mapping[UUID, Mapping[int, IncomingRecord]] = field(default_factory=dict)
    parked: frozenset[UUID] = frozenset()
    discarded: Mapping[bytes, UUID | None] = field(default_factory=dict)


class DeadLetter(NamedTuple):
    incoming: IncomingRecord
    error: str


class Batch:
    """Defers up to `max_deferred` out-of-order events of each session; one more parks the session.

    A discarded record fills its sequence position without effect and never parks its session. Of
    the sessions in `erased`, rows that were written before must be deleted.
    """

    def __init__(self, state: BatchState, max_deferred: int) -> None:
        self.sessions: dict[UUID, SessionRow] = {}
        self.erased: set[UUID] = set()
        self.turn_links: list[TurnLink] = []
        self.dead_letters: list[DeadLetter] = []
        self.newly_parked: list[DeadLetter] = []
        self.replayed: list[tuple[UUID, int]] = []
        self._usage: list[UsageRow] = []
        self._messages: dict[tuple[UUID, UUID], MessageRow] = {}
        self._state, self._max_deferred = state, max_deferred
        self._parked = set(state.parked)
        self._with_discards = frozenset(state.discarded.values())
        self._deferred: defaultdict[UUID, dict[int, IncomingRecord]] = defaultdict(dict)
        for session_id, deferred in state.deferred.items():
            self._deferred[session_id] |= {
                sequence: self._discard_if_marked(incoming)
                for sequence, incoming in deferred.items()
            }

    def add(self, incoming: IncomingRecord) -> None:
        if incoming.session_id in self._parked:
            self.dead_letters.append(DeadLetter(incoming, incoming.error or ALREADY_PARKED))
            return
        incoming = self._discard_if_marked(incoming)
        if incoming.event is None:
            self._park(incoming, incoming.error or "")
        else:
            self._apply_in_sequence(incoming, incoming.event)

    @property
    def messages(self) -> Mapping[tuple[UUID, UUID], MessageRow]:
        """The new messages, without those of erased sessions."""
        if not self.erased:
            return self._messages
        messages = self._messages.items()
        return {key: row for key, row in messages if row.session_id not in self.erased}

    @property
    def usage(self) -> Mapping[UsageKey, UsageRow]:
        """The amounts to add to each usage row; includes the usage of erased sessions."""
        return sum_usage(self._usage)

    @property
    def newly_deferred(self) -> list[IncomingRecord]:
        return [
            incoming
            for session_id, deferred in self._deferred.items()
            for sequence, incoming in deferred.items()
            if sequence not in self._state.deferred.get(session_id, {})
        ]

    def _discard_if_marked(self, incoming: IncomingRecord) -> IncomingRecord:
        # A digest costs more than everything else here, and few sessions have discarded records.
        if incoming.session_id not in self._with_discards:
            return incoming
        discarded = record_digest(incoming.record) in self._state.discarded
        return incoming.as_discarded() if discarded else incoming

    def _apply_in_sequence(self, incoming: IncomingRecord, event: Event | DiscardedRecord) -> None:
        match check_sequence(self._session(event.session_id), event):
            case SequenceCheck.NEXT:
                self._apply(incoming, event)
                self._replay_deferred(event.session_id)
            case SequenceCheck.BEYOND:
                self._defer(incoming, event)
            case SequenceCheck.FORK:
                self._park(incoming, FORKED)
            case SequenceCheck.REPEAT:
                pass

    def _apply(self, incoming: IncomingRecord, event: Event | DiscardedRecord) -> None:
        try:
            session, effect = evolve(self._session(event.session_id), event)
            usage = usage_of(session, event)
            if isinstance(effect, MessageRow):
                self._add_message(effect)
        except InapplicableEvent as error:
            self._park(incoming, str(error))
            return
        except MemoryError:
            raise
        except Exception as error:
            # The fold is pure, so the error is permanent; raising it would stop all sessions.
            self._park(incoming, f"it cannot be applied: {type(error).__name__}")
            return
        self.sessions[session.id] = session
        if usage is not None:
            self._usage.append(usage)
        if isinstance(effect, TurnLink):
            self._link_turn(effect)
        elif session.erased_at is not None:
            self.erased.add(session.id)
            self._deferred.pop(session.id, None)

    def _add_message(self, message: MessageRow) -> None:
        key = (message.session_id, message.id)
        if key in self._messages:
            raise InapplicableEvent("the message id is already used")
        self._messages[key] = message

    def _link_turn(self, link: TurnLink) -> None:
        key = (link.session_id, link.message_id)
        if (message := self._messages.get(key)) is None:
            self.turn_links.append(link)
        elif message.turn_id is None:
            self._messages[key] = replace(message, turn_id=link.turn_id)

    def _defer(self, incoming: IncomingRecord, event: Event | DiscardedRecord) -> None:
        deferred = self._deferred[event.session_id]
        other = deferred.get(event.sequence)
        if other is None and len(deferred) >= self._max_deferred and not incoming.discarded:
            self._park(incoming, f"more than {self._max_deferred} events wait for a missing one")
        elif other is None:
            deferred[event.sequence] = incoming
        elif other.event is not None and other.event.id != event.id:
            self._park(incoming, FORKED)

    def _replay_deferred(self, session_id: UUID) -> None:
        """Apply the deferred events whose predecessors have arrived."""
        deferred = self._deferred.get(session_id)
        while deferred and session_id not in self._parked:
            if (session := self._session(session_id)) is None:
                return
            sequence = session.version + 1
            if (incoming := deferred.pop(sequence, None)) is None:
                return
            if sequence in self._state.deferred.get(session_id, {}):
                self.replayed.append((session_id, sequence))
            if incoming.event is None:  # It was decodable when it was deferred.
                self._park(incoming, incoming.error or "")
            else:
                self._apply(incoming, incoming.event)

    def _park(self, incoming: IncomingRecord, error: str) -> None:
        if incoming.discarded:
            return
        letter = DeadLetter(incoming, error)
        self.dead_letters.append(letter)
        self.newly_parked.append(letter)
        if incoming.session_id is not None:
            self._parked.add(incoming.session_id)

    def _session(self, session_id: UUID) -> SessionRow | None:
        return self.sessions.get(session_id) or self._state.sessions.get(session_id)

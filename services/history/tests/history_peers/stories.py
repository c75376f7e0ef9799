"""Conversations as the log has them: events in order, sealed with the session's key."""

import random
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from parley_core.auth.principal import Principal
from parley_core.crypto.sealing import DataKey, seal
from parley_events.cloudevents import Record, encode
from parley_events.session import (
    CancelRequested,
    ContextCompacted,
    Event,
    KnownEventData,
    LegalHoldLifted,
    LegalHoldPlaced,
    MessageImported,
    MessageSubmitted,
    ReplyCancelled,
    ReplyCompleted,
    ReplyFailed,
    ReplyRequested,
    SessionArchived,
    SessionDeleted,
    SessionErased,
    SessionMetadataChanged,
    SessionRenamed,
    SessionRestored,
    SessionStarted,
    SessionUnarchived,
    UnknownEvent,
)
from parley_events.uuid7 import uuid7_after
from parley_events.values import Actor, ForkPoint, Price, Usage

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
ADA = Principal("default", "ada")
EVE = Principal("default", "eve")
LEAF = uuid4()
"""Stands for the newest message of a story."""
USED = Usage(prompt_tokens=7, completion_tokens=3)
PRICE = Price(currency="USD", prompt=150_000, completion=600_000)


class Story:
    """One session; what is told is kept in `events`, and answers the id of its message."""

    def __init__(
        self,
        person: Principal = ADA,
        *,
        title: str | None = None,
        metadata: dict[str, str] | None = None,
        assistant_id: str = "helper",
        starts_at: datetime = NOON,
        expires_at: datetime | None = None,
        forked_from: ForkPoint | None = None,
    ) -> None:
        self.id, self.key, self.person = uuid4(), DataKey.generate(), person
        self.events: list[Event] = []
        self.leaf: UUID | None = None
        self._starts_at, self._turn_id = starts_at, uuid4()
        sealed = None if title is None else self._sealed("title", {"text": title})
        self._add(
            SessionStarted,
            owner=person.user,
            tenant=person.tenant,
            assistant_id=assistant_id,
            assistant_version=1,
            title=sealed,
            metadata=None if metadata is None else self._sealed("metadata", metadata),
            expires_at=expires_at,
            forked_from=forked_from,
        )

    @property
    def records(self) -> list[Record]:
        return [encode(event) for event in self.events]

    @property
    def version(self) -> int:
        return len(self.events)

    def says(self, text: str, *, after: UUID | None = LEAF) -> UUID:
        """Follows the newest message unless told otherwise; after None it is a root."""
        message_id = uuid4()
        parent_id = self.leaf if after is LEAF else after
        content = self._sealed("content", {"text": text})
        self._add(
            MessageSubmitted, message_id=message_id, parent_message_id=parent_id, content=content
        )
        self.leaf = message_id
        self.asks_again(message_id)
        return message_id

    def asks_again(self, message_id: UUID) -> None:
        """Opens a turn of the message, its first one or another."""
        self._turn_id = uuid4()
        self._add(
            ReplyRequested,
            turn_id=self._turn_id,
            reply_id=uuid4(),
            parent_message_id=message_id,
            assistant_version=1,
            model="demo",
        )

    def imports(
        self, text: str, role: str = "user", *, said_at: datetime = NOON, after: UUID | None = LEAF
    ) -> UUID:
        message_id = uuid4()
        self._add(
            MessageImported,
            message_id=message_id,
            parent_message_id=self.leaf if after is LEAF else after,
            role=role,
            content=self._sealed("content", {"text": text}),
            original_time=said_at,
        )
        self.leaf = message_id
        return message_id

    def hears(
        self,
        text: str,
        *,
        model: str = "demo",
        usage: Usage | None = USED,
        price: Price | None = PRICE,
    ) -> UUID:
        return self._end(
            ReplyCompleted,
            content=self._sealed("content", {"text": text}),
            finish_reason="stop",
            first_token_ms=5,
            total_ms=50,
            model=model,
            usage=usage,
            price=price,
        )

    def fails(self, partial: str | None = None, code: str = "upstream_timeout") -> UUID:
        return self._end(
            ReplyFailed,
            code=code,
            details=self._sealed("details", {"text": "It stalled."}),
            partial_content=self._partial(partial),
        )

    def is_cancelled(self, partial: str | None = None) -> UUID:
        self._add(CancelRequested, turn_id=self._turn_id)
        return self._end(
            ReplyCancelled,
            cancelled_by=self._actor,
            partial_content=self._partial(partial),
            usage=Usage(prompt_tokens=7, completion_tokens=1, estimated=True),
        )

    def is_compacted(self) -> None:
        summary = self._sealed("summary", {"text": "What was said."})
        self._add(
            ContextCompacted,
            up_to_message_id=self.leaf,
            summary=summary,
            model="demo",
            usage=Usage(prompt_tokens=70, completion_tokens=30),
            price=PRICE,
        )

    def is_renamed(self, title: str | None) -> None:
        sealed = None if title is None else self._sealed("title", {"text": title})
        self._add(SessionRenamed, title=sealed)

    def is_given_a_title(self, title: str) -> None:
        """By a model, which costs something."""
        sealed = self._sealed("title", {"text": title})
        self._add(
            SessionRenamed, title=sealed, suggested=True, model="small", usage=USED, price=PRICE
        )

    def is_described(self, **metadata: str) -> None:
        self._add(SessionMetadataChanged, metadata=self._sealed("metadata", metadata))

    def is_archived(self, archived: bool = True) -> None:
        self._add(SessionArchived if archived else SessionUnarchived)

    def is_deleted(self) -> None:
        self._add(SessionDeleted, erase_at=NOON + timedelta(days=30))

    def is_restored(self) -> None:
        self._add(SessionRestored)

    def is_held(self, held: bool = True) -> None:
        self._add(LegalHoldPlaced if held else LegalHoldLifted)

    def is_erased(self) -> None:
        self._add(SessionErased, reason="requested")

    def does_something_new(self) -> None:
        """An event of a type that this version does not know."""
        self._event(UnknownEvent(type="parley.session.session_painted.v1", data={"hue": 7}))

    def forked(self, sequence: int) -> Event:
        """Another event at a sequence, as a store writes it that lost what came after."""
        actor = {"actor": self._actor, "request_id": "req-2", "turn_id": uuid4()}
        event_id = self._next_id()
        return Event(event_id, self.id, sequence, self._time(), CancelRequested(**actor))

    def _partial(self, text: str | None) -> bytes | None:
        return None if text is None else self._sealed("partial_content", {"text": text})

    def _end(self, kind: type[KnownEventData], **fields: Any) -> UUID:
        self.leaf = uuid4()
        named = {"model": "demo"} | fields
        self._add(kind, turn_id=self._turn_id, reply_id=self.leaf, **named)
        return self.leaf

    @property
    def _actor(self) -> Actor:
        return Actor(tenant=self.person.tenant, user=self.person.user)

    def _add(self, kind: type[KnownEventData], **fields: Any) -> None:
        self._event(kind(actor=self._actor, request_id="req-1", **fields))

    def _event(self, data: KnownEventData | UnknownEvent) -> None:
        event = Event(self._next_id(), self.id, self.version + 1, self._time(), data)
        self.events.append(event)

    def _sealed(self, field: str, plaintext: dict[str, Any]) -> bytes:
        event_id = self._next_id()
        return seal(self.key, plaintext, session_id=self.id, event_id=event_id, field=field)

    def _next_id(self) -> UUID:
        last = self.events[-1].id if self.events else None
        # Counted, so that asking again before the event is told gives the same.
        return uuid7_after(last, int(self._time().timestamp() * 1000), self.id.int)

    def _time(self) -> datetime:
        return self._starts_at + timedelta(milliseconds=self.version)


def chat(turns: int, person: Principal = ADA) -> Story:
    """A conversation in which every third turn fails and every fifth is cancelled."""
    story = Story(person)
    for turn in range(turns):
        story.says(f"question {turn}")
        if turn % 3 == 2:
            story.fails(f"half an answer {turn}")
        elif turn % 5 == 4:
            story.is_cancelled()
        else:
            story.hears(f"answer {turn}")
    return story


def full(person: Principal = ADA) -> Story:
    """A conversation in which everything happens, but its erasure."""
    origin = ForkPoint(session_id=uuid4(), message_id=uuid4())
    story = Story(person, title="Words", metadata={"a": "b"}, forked_from=origin)
    story.imports("Be kind.", "system", said_at=NOON - timedelta(days=9))
    first = story.says("question")
    story.hears("answer")
    story.is_compacted()
    story.is_given_a_title("Suggested words")
    story.is_renamed("Other words")
    story.is_described(colour="red")
    story.asks_again(first)
    story.hears("another answer")
    story.says("another question", after=None)
    story.fails("half an answer")
    story.is_archived()
    story.is_archived(False)
    story.is_held()
    story.is_held(False)
    story.is_deleted()
    story.is_restored()
    story.is_renamed(None)
    story.says("last question")
    story.is_cancelled("last half")
    return story


def mixed(stories: Iterable[Story], random: random.Random) -> list[Record]:
    """The records of all stories, each in order, and in between as they come."""
    queues = [list(reversed(story.records)) for story in stories]
    mixed = []
    while queues := [queue for queue in queues if queue]:
        mixed.append(random.choice(queues).pop())
    return mixed

"""Stories: sessions as ordered events, sealed with the session's key, for tests."""

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
"""Default parent of a new message: the newest message of the story."""
USED = Usage(prompt_tokens=7, completion_tokens=3)
PRICE = Price(currency="USD", prompt=150_000, completion=600_000)


class Story:
    """The events of one session. Methods append events and return the id of a new message."""

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

    def data(self, index: int) -> Any:
        """Return the data of an event, whose type the test knows."""
        return self.events[index].data

    def submit(self, text: str, *, after: UUID | None = LEAF) -> UUID:
        """Append a user message and the request for a reply; `after=None` starts a new root."""
        message_id = uuid4()
        parent_id = self.leaf if after is LEAF else after
        content = self._sealed("content", {"text": text})
        self._add(
            MessageSubmitted, message_id=message_id, parent_message_id=parent_id, content=content
        )
        self.leaf = message_id
        self.request_reply(message_id)
        return message_id

    def request_reply(self, message_id: UUID) -> None:
        """Open a turn of the message, the first one or another."""
        self._turn_id = uuid4()
        self._add(
            ReplyRequested,
            turn_id=self._turn_id,
            reply_id=uuid4(),
            parent_message_id=message_id,
            assistant_version=1,
            model="demo",
        )

    def import_message(
        self, text: str, role: str = "user", *, after: UUID | None = LEAF, **fields: Any
    ) -> UUID:
        message_id = uuid4()
        self._add(
            MessageImported,
            message_id=message_id,
            parent_message_id=self.leaf if after is LEAF else after,
            role=role,
            content=self._sealed("content", {"text": text}),
            **{"original_time": NOON} | fields,
        )
        self.leaf = message_id
        return message_id

    def reply(
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

    def fail(self, partial: str | None = None, code: str = "upstream_timeout") -> UUID:
        return self._end(
            ReplyFailed,
            code=code,
            details=self._sealed("details", {"text": "It stalled."}),
            partial_content=self._partial(partial),
        )

    def cancel(self, partial: str | None = None) -> UUID:
        self._add(CancelRequested, turn_id=self._turn_id)
        return self._end(
            ReplyCancelled,
            cancelled_by=self._actor,
            partial_content=self._partial(partial),
            usage=Usage(prompt_tokens=7, completion_tokens=1, estimated=True),
        )

    def compact(self) -> None:
        summary = self._sealed("summary", {"text": "What was said."})
        self._add(
            ContextCompacted,
            up_to_message_id=self.leaf,
            summary=summary,
            model="demo",
            usage=Usage(prompt_tokens=70, completion_tokens=30),
            price=PRICE,
        )

    def rename(self, title: str | None) -> None:
        sealed = None if title is None else self._sealed("title", {"text": title})
        self._add(SessionRenamed, title=sealed)

    def suggest_title(self, title: str) -> None:
        """Append a title that a model suggested, with its usage."""
        sealed = self._sealed("title", {"text": title})
        self._add(
            SessionRenamed, title=sealed, suggested=True, model="small", usage=USED, price=PRICE
        )

    def change_metadata(self, **metadata: str) -> None:
        self._add(SessionMetadataChanged, metadata=self._sealed("metadata", metadata))

    def archive(self, archived: bool = True) -> None:
        self._add(SessionArchived if archived else SessionUnarchived)

    def delete(self) -> None:
        self._add(SessionDeleted, erase_at=NOON + timedelta(days=30))

    def restore(self) -> None:
        self._add(SessionRestored)

    def hold(self, held: bool = True) -> None:
        self._add(LegalHoldPlaced if held else LegalHoldLifted)

    def erase(self) -> None:
        self._add(SessionErased, reason="requested")

    def add_unknown_event(self) -> None:
        """Append an event of a type that this version does not know."""
        self._event(UnknownEvent(type="parley.session.session_painted.v1", data={"hue": 7}))

    def forked_event(self, sequence: int) -> Event:
        """Return a second event at the sequence, as a store writes it that lost events."""
        fields: dict[str, Any] = {"actor": self._actor, "request_id": "req-2", "turn_id": uuid4()}
        event_id = self._next_id()
        return Event(event_id, self.id, sequence, self._time(), CancelRequested(**fields))

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
        # Deterministic, so that the id is the same until the event is appended.
        return uuid7_after(last, self._time(), self.id.int)

    def _time(self) -> datetime:
        return self._starts_at + timedelta(milliseconds=self.version)


def chat(turns: int, person: Principal = ADA) -> Story:
    """Return a conversation in which every third turn fails and every fifth is cancelled."""
    story = Story(person)
    for turn in range(turns):
        story.submit(f"question {turn}")
        if turn % 3 == 2:
            story.fail(f"half an answer {turn}")
        elif turn % 5 == 4:
            story.cancel()
        else:
            story.reply(f"answer {turn}")
    return story


def full(person: Principal = ADA) -> Story:
    """Return a conversation with every kind of event except its erasure."""
    origin = ForkPoint(session_id=uuid4(), message_id=uuid4())
    story = Story(person, title="Words", metadata={"a": "b"}, forked_from=origin)
    story.import_message("Be kind.", "system", original_time=NOON - timedelta(days=9))
    first = story.submit("question")
    story.reply("answer")
    story.compact()
    story.suggest_title("Suggested words")
    story.rename("Other words")
    story.change_metadata(colour="red")
    story.request_reply(first)
    story.reply("another answer")
    story.submit("another question", after=None)
    story.fail("half an answer")
    story.archive()
    story.archive(False)
    story.hold()
    story.hold(False)
    story.delete()
    story.restore()
    story.rename(None)
    story.submit("last question")
    story.cancel("last half")
    return story


def mixed(stories: Iterable[Story], random: random.Random) -> list[Record]:
    """Interleave the records of the stories at random, each story in its order."""
    queues = [list(reversed(story.records)) for story in stories]
    mixed = []
    while queues := [queue for queue in queues if queue]:
        mixed.append(random.choice(queues).pop())
    return mixed

"""Simulated sessions: the events of one session, and the times at which sessions start."""

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

from parley_cli.log.generation.simulated_stream import TEXT, SimulatedEvent, SimulatedStream
from parley_events.session import (
    CancelRequested,
    CompletionServed,
    ContextCompacted,
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
)

FIRST_DAY = datetime(2026, 1, 5, tzinfo=UTC)
MAX_TURNS = 120
# A summary replaces older messages each time that a session has got this many turns.
TURNS_PER_SUMMARY = 20


def start_times(sessions: int, days: int, random: Random) -> list[datetime]:
    """Times in order: few at night and at weekends."""
    weights = [
        (1.2 - math.cos((hour - 3) / 24 * 2 * math.pi)) * (0.35 if day % 7 >= 5 else 1.0)
        for day in range(days)
        for hour in range(24)
    ]
    hours = random.choices(range(days * 24), weights, k=sessions)
    return sorted(FIRST_DAY + timedelta(hours=hour + random.random()) for hour in hours)


def simulated_session(random: Random, started_at: datetime) -> Iterator[SimulatedEvent]:
    """The events of one session, in order."""
    if random.random() < 0.08:
        return _SimulatedSession(random, started_at).completion()
    return _SimulatedSession(random, started_at).session()


class _SimulatedSession(SimulatedStream):
    def completion(self) -> Iterator[SimulatedEvent]:
        model = self.assistant.model
        yield self.event(
            lambda _: CompletionServed(
                actor=self.user,
                request_id=self.request(),
                owner=self.owner,
                tenant=self.tenant.name,
                model=model.name,
                status=self.random.choices(("completed", "failed", "cut"), (94, 3, 3))[0],
                usage=self.usage(1),
                price=model.price,
            )
        )

    def session(self) -> Iterator[SimulatedEvent]:
        random = self.random
        temporary = random.random() < 0.03
        expires_at = self.clock + timedelta(hours=24) if temporary else None
        yield self.event(
            lambda seal: SessionStarted(
                actor=self.user,
                request_id=self.request(),
                owner=self.owner,
                tenant=self.tenant.name,
                assistant_id=self.assistant.id,
                assistant_version=1,
                metadata=seal("metadata", {"channel": "web"}) if random.random() < 0.2 else None,
                expires_at=expires_at,
            )
        )
        if random.random() < 0.03:
            yield from self._imports()
        turns = min(MAX_TURNS, 1 + int(random.expovariate(1 / self.assistant.turns)))
        if random.random() < 0.02:
            turns = random.randint(30, MAX_TURNS)
        for turn in range(turns):
            self.pause()
            yield from self._turn(turn)
            if turn == 0 and random.random() < 0.6:
                yield self._renamed(suggested=True)
            if turn % TURNS_PER_SUMMARY == TURNS_PER_SUMMARY - 1 and self.leaf:
                yield self._compacted(self.leaf)
        yield from self._end(expires_at)

    def _turn(self, number: int) -> Iterator[SimulatedEvent]:
        random = self.random
        request, turn_id, reply_id, message_id = self.request(), *(self.uuid() for _ in range(3))
        parent = self.leaf
        if number and random.random() < 0.04:
            # An edit of the first message starts another branch.
            parent = None
        text = self.text(40)
        yield self.event(
            lambda seal: MessageSubmitted(
                actor=self.user,
                request_id=request,
                message_id=message_id,
                parent_message_id=parent,
                content=seal("content", {"text": text}),
                tokens=len(text) // 4,
            )
        )
        yield self._requested(request, turn_id, reply_id, message_id)
        yield from self._reply(request, turn_id, reply_id, number)
        if random.random() < 0.03:
            self.pause()
            again, turn_id, reply_id = self.request(), self.uuid(), self.uuid()
            yield self._requested(again, turn_id, reply_id, message_id)
            yield from self._reply(again, turn_id, reply_id, number)

    def _requested(
        self, request: str, turn_id: UUID, reply_id: UUID, message_id: UUID
    ) -> SimulatedEvent:
        return self.event(
            lambda _: ReplyRequested(
                actor=self.user,
                request_id=request,
                turn_id=turn_id,
                reply_id=reply_id,
                parent_message_id=message_id,
                assistant_version=1,
                model=self.assistant.model.name,
            )
        )

    def _reply(
        self, request: str, turn_id: UUID, reply_id: UUID, number: int
    ) -> Iterator[SimulatedEvent]:
        random, model = self.random, self.assistant.model
        usage = self.usage(number + 1)
        first_token = int(model.first_token_ms * random.lognormvariate(0, 0.5))
        total = first_token + int(usage.completion_tokens * model.ms_per_token)
        outcome = random.random()
        fields: dict[str, Any] = {
            "actor": self.system,
            "request_id": request,
            "turn_id": turn_id,
            "reply_id": reply_id,
            "model": model.name,
            "price": model.price,
        }
        text = TEXT[: usage.completion_tokens * 4]
        if outcome < model.failures:
            self.clock += timedelta(milliseconds=first_token)
            code = random.choice(("upstream_timeout", "upstream_error", "interrupted"))
            yield self.event(
                lambda seal: ReplyFailed(
                    **fields, code=code, details=seal("details", {"text": "no answer"})
                )
            )
        elif outcome < model.failures + 0.05:
            self.clock += timedelta(milliseconds=total * random.random())
            yield self.event(
                lambda _: CancelRequested(
                    actor=self.user, request_id=self.request(), turn_id=turn_id
                )
            )
            self.clock += timedelta(milliseconds=20)
            part = usage.model_copy(
                update={"completion_tokens": usage.completion_tokens // 2, "estimated": True}
            )
            yield self.event(
                lambda seal: ReplyCancelled(
                    **fields,
                    usage=part,
                    cancelled_by=self.user,
                    partial_content=seal("partial_content", {"text": text[: len(text) // 2]}),
                )
            )
        else:
            self.clock += timedelta(milliseconds=total)
            yield self.event(
                lambda seal: ReplyCompleted(
                    **fields,
                    usage=usage,
                    content=seal("content", {"text": text}),
                    finish_reason="length" if random.random() < 0.02 else "stop",
                    first_token_ms=first_token,
                    total_ms=total,
                )
            )
        self.leaf = reply_id

    def _imports(self) -> Iterator[SimulatedEvent]:
        request, text = self.request(), self.text(60)
        for number in range(self.random.randint(2, 8)):
            is_reply = number % 2 == 1
            fields: dict[str, Any] = {
                "request_id": request,
                "message_id": self.uuid(),
                "parent_message_id": self.leaf,
                "role": "assistant" if is_reply else "user",
                "original_time": self.clock - timedelta(days=200 - number),
                "model": "elsewhere" if is_reply else None,
            }
            yield self.event(
                lambda seal, more=fields: MessageImported(  # type: ignore[misc]
                    actor=self.user, content=seal("content", {"text": text}), **more
                )
            )
            self.leaf = fields["message_id"]

    def _renamed(self, *, suggested: bool) -> SimulatedEvent:
        model, usage = self.assistant.model, self.usage(1)
        return self.event(
            lambda seal: SessionRenamed(
                actor=self.system if suggested else self.user,
                request_id=self.request(),
                title=seal("title", {"text": self.text(6)}),
                suggested=suggested,
                model=model.name if suggested else None,
                usage=usage if suggested else None,
                price=model.price if suggested else None,
            )
        )

    def _compacted(self, message_id: UUID) -> SimulatedEvent:
        model = self.assistant.model
        return self.event(
            lambda seal: ContextCompacted(
                actor=self.system,
                request_id=self.request(),
                up_to_message_id=message_id,
                summary=seal("summary", {"text": self.text(100)}),
                model=model.name,
                tokens=120,
                usage=self.usage(10),
                price=model.price,
            )
        )

    def _end(self, expires_at: datetime | None) -> Iterator[SimulatedEvent]:
        """What becomes of the session after its last turn."""
        random = self.random
        if random.random() < 0.04:
            self.pause()
            yield self._renamed(suggested=False)
        if random.random() < 0.02:
            yield self.plain(
                SessionMetadataChanged, metadata=lambda seal: seal("metadata", {"rating": 5})
            )
        if random.random() < 0.005:
            yield self.plain(LegalHoldPlaced)
            self.clock += timedelta(days=1)
            yield self.plain(LegalHoldLifted)
        if random.random() < 0.05:
            self.pause()
            yield self.plain(SessionArchived)
            if random.random() < 0.3:
                self.clock += timedelta(hours=5)
                yield self.plain(SessionUnarchived)
        if expires_at is not None:
            self.clock = max(self.clock, expires_at)
            yield self.plain(SessionErased, reason="expired")
        elif random.random() < 0.04:
            self.pause()
            yield self.plain(SessionDeleted, erase_at=self.clock + timedelta(days=7))
            if random.random() < 0.3:
                self.clock += timedelta(days=1)
                yield self.plain(SessionRestored)
            else:
                self.clock += timedelta(days=7)
                yield self.plain(SessionErased, reason="deleted")
        elif random.random() < 0.01:
            yield self.plain(SessionErased, reason="requested")

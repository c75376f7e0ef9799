"""What each person wrote a moment ago, so that whatever they read next has it.

Kept in this process alone, and in part: whoever asks another one can name a `min_version`.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec

from parley_core.auth.principal import Principal
from parley_core.http.errors import NotFound


@dataclass(slots=True)
class _Write:
    version: int
    until: float
    erased: bool
    deleted: bool


class _Changed(msgspec.Struct):
    """As much of an answer as tells which session it changed: it, its turn, or what came of it."""

    object: str = ""
    version: int | None = None
    id: UUID | None = None
    session_id: UUID | None = None
    session: Any = None
    erased: bool | None = None  # Of a DELETE: false where it can be restored.


_decode = msgspec.json.Decoder(_Changed).decode


@dataclass(frozen=True, slots=True)
class RecentWritesSettings:
    """Seconds and counts; see the settings of the same names."""

    seconds: float
    people: int
    sessions: int


class RecentWrites:
    """Of the latest `limits.people`, the latest `limits.sessions` of each."""

    def __init__(
        self,
        limits: RecentWritesSettings,
        moved: Callable[[Iterable[UUID]], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`moved` is told of each session that changed."""
        self._limits, self._moved, self._clock = limits, moved, clock
        self._people: OrderedDict[tuple[str, str], OrderedDict[UUID, _Write]] = OrderedDict()

    def record_from_response(self, person: Principal, body: bytes) -> None:
        """Whatever a service answered to a command; nothing where it names no version."""
        try:
            changed = _decode(body)
            if changed.session is not None:
                changed = msgspec.convert(changed.session, _Changed)
        except ValueError:
            return
        if changed.object == "assistant":
            return  # Its id may look like a session's.
        session_id = changed.session_id or changed.id
        if session_id is not None and changed.version is not None:
            self.note(person, session_id, changed.version, erased=changed.erased)

    def note(
        self, person: Principal, session_id: UUID, version: int, *, erased: bool | None = None
    ) -> None:
        """`erased` is what a DELETE says: false where the session can be restored."""
        who, now = (person.tenant, person.user), self._clock()
        writes = self._people.setdefault(who, OrderedDict())
        self._people.move_to_end(who)
        earlier = writes.pop(session_id, None)
        is_news = earlier is None or version > earlier.version
        gone, deleted = erased is True, erased is False
        if earlier is not None:
            version, gone = max(version, earlier.version), gone or earlier.erased
            deleted = deleted if is_news else earlier.deleted
        writes[session_id] = _Write(version, now + self._limits.seconds, gone, deleted)
        if len(writes) > self._limits.sessions:
            writes.popitem(last=False)
        if len(self._people) > self._limits.people:
            self._people.popitem(last=False)
        if is_news:
            self._moved((session_id,))

    def is_deleted(self, person: Principal, session_id: UUID) -> bool:
        """Whether the person has deleted it, and not restored it since."""
        write = self._recent(person).get(session_id)
        return write is not None and write.deleted

    def version(self, person: Principal, session_id: UUID) -> int:
        """What the person's next page of it should have; 0 for any.

        Raises NotFound when they have erased it.
        """
        write = self._recent(person).get(session_id)
        if write is None:
            return 0
        if write.erased:
            raise NotFound("There is no such session.", code="session_not_found")
        return write.version

    def seen(self, person: Principal) -> dict[str, str]:
        """The query that has history wait for each session that the person changed lately."""
        recent = self._recent(person).items()
        seen = ",".join(f"{session_id}:{write.version}" for session_id, write in recent)
        return {"seen": seen} if seen else {}

    def _recent(self, person: Principal) -> Mapping[UUID, _Write]:
        writes = self._people.get((person.tenant, person.user), OrderedDict())
        now = self._clock()
        # The latest written is the last: what has passed is in front.
        while writes and next(iter(writes.values())).until <= now:
            writes.popitem(last=False)
        return writes

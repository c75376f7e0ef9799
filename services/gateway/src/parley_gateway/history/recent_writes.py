"""Read-your-writes: the minimum version that each caller's next read of a session must have.

Kept by this process only and bounded; through another replica, a client can pass `min_version`.
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

# Twice as long as history caches a data key: a session erased through this process stays erased
# even when every feed is down.
TTL_SECONDS = 60.0
MAX_OWNERS = 10_000
MAX_SESSIONS_PER_OWNER = 20


@dataclass(slots=True)
class _Write:
    version: int
    expires_at: float
    erased: bool
    deleted: bool


class _ChangedSession(msgspec.Struct):
    """The part of a response that names the changed session: a session, or a turn of it."""

    object: str = ""
    version: int | None = None
    id: UUID | None = None
    session_id: UUID | None = None
    session: Any = None
    erased: bool | None = None  # Of a DELETE: false when the session can be restored.


_decode = msgspec.json.Decoder(_ChangedSession).decode


class RecentWrites:
    """LRU: the latest owners, and the latest sessions of each."""

    def __init__(
        self,
        on_changed: Callable[[Iterable[UUID]], None],
        *,
        ttl_seconds: float = TTL_SECONDS,
        max_owners: int = MAX_OWNERS,
        max_sessions_per_owner: int = MAX_SESSIONS_PER_OWNER,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`on_changed` receives each session with a new version."""
        self._on_changed, self._ttl_seconds, self._clock = on_changed, ttl_seconds, clock
        self._max_owners, self._max_sessions = max_owners, max_sessions_per_owner
        self._owners: OrderedDict[tuple[str, str], OrderedDict[UUID, _Write]] = OrderedDict()

    def record_from_response(self, principal: Principal, body: bytes) -> None:
        """Record the response to a command; ignored when it carries no version."""
        try:
            changed = _decode(body)
            if changed.session is not None:
                changed = msgspec.convert(changed.session, _ChangedSession)
        except ValueError:
            return
        if changed.object == "assistant":
            return  # Its id may look like a session's.
        session_id = changed.session_id or changed.id
        if session_id is not None and changed.version is not None:
            self.record(principal, session_id, changed.version, erased=changed.erased)

    def record(
        self, principal: Principal, session_id: UUID, version: int, *, erased: bool | None = None
    ) -> None:
        """`erased` comes from a DELETE: false when the session can be restored."""
        owner, now = (principal.tenant, principal.user), self._clock()
        writes = self._owners.setdefault(owner, OrderedDict())
        self._owners.move_to_end(owner)
        earlier = writes.pop(session_id, None)
        is_newer = earlier is None or version > earlier.version
        is_erased, is_deleted = erased is True, erased is False
        if earlier is not None:
            version, is_erased = max(version, earlier.version), is_erased or earlier.erased
            is_deleted = is_deleted if is_newer else earlier.deleted
        writes[session_id] = _Write(version, now + self._ttl_seconds, is_erased, is_deleted)
        if len(writes) > self._max_sessions:
            writes.popitem(last=False)
        if len(self._owners) > self._max_owners:
            self._owners.popitem(last=False)
        if is_newer:
            self._on_changed((session_id,))

    def is_deleted(self, principal: Principal, session_id: UUID) -> bool:
        """Whether the caller deleted the session, and has not restored it since."""
        write = self._recent(principal).get(session_id)
        return write is not None and write.deleted

    def min_version(self, principal: Principal, session_id: UUID) -> int:
        """The version that the caller's next page must have; 0 for any.

        Raises NotFound when the caller has erased the session.
        """
        write = self._recent(principal).get(session_id)
        if write is None:
            return 0
        if write.erased:
            raise NotFound("There is no such session.", code="session_not_found")
        return write.version

    def min_versions(self, principal: Principal) -> dict[str, str]:
        """The query that makes history wait for each session that the caller changed recently."""
        recent = self._recent(principal).items()
        seen = ",".join(f"{session_id}:{write.version}" for session_id, write in recent)
        return {"seen": seen} if seen else {}

    def _recent(self, principal: Principal) -> Mapping[UUID, _Write]:
        writes = self._owners.get((principal.tenant, principal.user), OrderedDict())
        now = self._clock()
        # Ordered by time of writing: expired entries come first.
        while writes and next(iter(writes.values())).expires_at <= now:
            writes.popitem(last=False)
        return writes

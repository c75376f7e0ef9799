"""Which records of the log somebody wants to see."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from parley_cli.log.tail.log_record import LogRecord
from parley_events.cloudevents import UndecodableRecord, decode
from parley_events.session import SessionStarted


@dataclass(frozen=True)
class Owner:
    """Whose sessions: a person, or with `user` None everyone in the tenant."""

    tenant: str
    user: str | None


@dataclass(frozen=True)
class FilterOptions:
    """Whatever is empty or None selects everything.

    `types` are whole names. `starts` are positions: where there are any, only these partitions.
    """

    types: frozenset[str] = frozenset()
    sessions: frozenset[str] = frozenset()
    owner: Owner | None = None
    since: datetime | None = None
    until: datetime | None = None
    starts: Mapping[int, int] = field(default_factory=dict)


class RecordFilter:
    """Lets through what was selected.

    With an owner it must be given the log from its beginning, since only a session's first event
    names its owner; it then remembers the owner's sessions, some 100 bytes each.
    """

    def __init__(self, selection: FilterOptions) -> None:
        self._selection = selection
        self._owned: set[bytes] = set()

    def lets_through(self, found: LogRecord) -> bool:
        wanted = self._selection
        # Asked first: the first event of a session counts, whatever else hides it.
        return (
            self._is_owned(found)
            and (not wanted.types or found.type in wanted.types)
            and (not wanted.sessions or found.session in wanted.sessions)
            and (wanted.since is None or found.time >= wanted.since)
            and (wanted.until is None or found.time <= wanted.until)
            and found.offset >= wanted.starts.get(found.partition, 0)
        )

    def _is_owned(self, found: LogRecord) -> bool:
        owner = self._selection.owner
        if owner is None:
            return True
        if found.type == SessionStarted.TYPE and _begins_session_of(owner, found):
            self._owned.add(found.record.key)
        return found.record.key in self._owned


def _begins_session_of(owner: Owner, found: LogRecord) -> bool:
    try:
        started = decode(found.record).data
    except UndecodableRecord:
        return False
    return (
        isinstance(started, SessionStarted)
        and started.tenant == owner.tenant
        and owner.user in (None, started.owner)
    )

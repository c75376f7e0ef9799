"""Record filters of `parley log tail`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from parley_cli.log.tail.log_record import LogRecord
from parley_events.cloudevents import UndecodableRecord, decode
from parley_events.session import SessionStarted


@dataclass(frozen=True)
class Owner:
    """The owner of sessions: one user, or with `user` None every user of the tenant."""

    tenant: str
    user: str | None


@dataclass(frozen=True)
class FilterOptions:
    """Empty and None fields match every record.

    `types` are full names, `sessions` ids or beginnings of ids. `starts` maps partitions to first
    offsets; if it is not empty, other partitions are left out.
    """

    types: frozenset[str] = frozenset()
    sessions: frozenset[str] = frozenset()
    owner: Owner | None = None
    since: datetime | None = None
    until: datetime | None = None
    starts: Mapping[int, int] = field(default_factory=dict)


class RecordFilter:
    """Matches records against the options.

    A filter with an owner must be given the log from its beginning, because only the first event
    of a session names the owner; it remembers the owner's sessions, about 100 bytes each.
    """

    def __init__(self, options: FilterOptions) -> None:
        self._options = options
        self._owned_sessions: set[bytes] = set()

    def matches(self, record: LogRecord) -> bool:
        options = self._options
        # The owner comes first: a first event must be seen even if another condition hides it.
        return (
            self._is_owned(record)
            and (not options.types or record.type in options.types)
            and (not options.sessions or record.session.startswith(tuple(options.sessions)))
            and (options.since is None or record.time >= options.since)
            and (options.until is None or record.time <= options.until)
            and record.offset >= options.starts.get(record.partition, 0)
        )

    def _is_owned(self, record: LogRecord) -> bool:
        owner = self._options.owner
        if owner is None:
            return True
        if record.type == SessionStarted.TYPE and _starts_session_of(owner, record):
            self._owned_sessions.add(record.raw.key)
        return record.raw.key in self._owned_sessions


def _starts_session_of(owner: Owner, record: LogRecord) -> bool:
    try:
        started = decode(record.raw).data
    except UndecodableRecord:
        return False
    return (
        isinstance(started, SessionStarted)
        and started.tenant == owner.tenant
        and owner.user in (None, started.owner)
    )

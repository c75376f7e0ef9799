"""Parameters of a query, each read as what it should be; a wrong one is named."""

import re
from datetime import UTC, datetime
from uuid import UUID

from parley_core.http.errors import InvalidRequest
from parley_core.http.pagination import Query, parse_cursors, parse_number

# A version is a Postgres integer.
VERSION_MOST = 2**31 - 1

# RFC 3339, section 5.6, with the T.
_INSTANT = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII | re.IGNORECASE
)


def id_in(query: Query, name: str, of: str) -> UUID | None:
    if (text := query.get(name)) is None:
        return None
    try:
        return UUID(text)
    except ValueError:
        raise InvalidRequest(f"{name} should be the id of a {of}.", param=name) from None


def ids_in(query: Query, of: str) -> tuple[UUID | None, UUID | None]:
    """`after` and `before`, of which at most one is given."""
    return parse_cursors(lambda name: id_in(query, name, of))


def instant_in(query: Query, name: str) -> datetime | None:
    """In UTC."""
    if (text := query.get(name)) is None:
        return None
    try:
        if not _INSTANT.fullmatch(text):
            raise ValueError
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidRequest(
            f"{name} should be a time such as 2026-11-24T10:00:00Z (RFC 3339).", param=name
        ) from None


def version_or_instant_in(query: Query, name: str) -> int | datetime | None:
    """Digits are a version."""
    text = query.get(name)
    if text is None or text.isdecimal():
        return parse_number(query, name, VERSION_MOST)
    return instant_in(query, name)

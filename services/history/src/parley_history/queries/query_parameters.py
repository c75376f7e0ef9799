"""Query parameters of history's API: ids, versions and RFC 3339 times.

Every parser raises InvalidRequest with the name of the parameter.
"""

import re
from datetime import UTC, datetime
from uuid import UUID

from parley_core.http.errors import InvalidRequest
from parley_core.http.pagination import Query, parse_cursors, parse_number

# A version is a Postgres integer.
MAX_VERSION = 2**31 - 1

# RFC 3339, section 5.6, with an upper- or lower-case T.
_INSTANT = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII | re.IGNORECASE
)


def parse_id(query: Query, name: str, resource: str) -> UUID | None:
    """Parse the id of a `resource`, which the error message names."""
    if (text := query.get(name)) is None:
        return None
    try:
        return UUID(text)
    except ValueError:
        raise InvalidRequest(f"{name} should be the id of a {resource}.", param=name) from None


def parse_cursor_ids(query: Query, resource: str) -> tuple[UUID | None, UUID | None]:
    """Parse `after` and `before`, of which at most one may be present."""
    return parse_cursors(lambda name: parse_id(query, name, resource))


def parse_version(query: Query, name: str) -> int | None:
    return parse_number(query, name, MAX_VERSION)


def parse_instant(query: Query, name: str) -> datetime | None:
    """Parse an RFC 3339 time and convert it to UTC."""
    if (text := query.get(name)) is None:
        return None
    try:
        if not _INSTANT.fullmatch(text):
            raise ValueError
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidRequest(
            f"{name} should be an RFC 3339 time such as 2026-11-24T10:00:00Z.", param=name
        ) from None


def parse_version_or_instant(query: Query, name: str) -> int | datetime | None:
    """Parse digits as a version and anything else as a time."""
    text = query.get(name)
    if text is None or text.isdecimal():
        return parse_version(query, name)
    return parse_instant(query, name)


def parse_allow_behind(query: Query) -> bool:
    """Whether the caller accepts a page without the latest writes, which is then marked."""
    match query.get("allow_behind", "false"):
        case "true":
            return True
        case "false":
            return False
        case _:
            raise InvalidRequest("allow_behind should be true or false.", param="allow_behind")

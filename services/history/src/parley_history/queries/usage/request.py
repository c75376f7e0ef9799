"""Request for a usage report, parsed from query parameters."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Literal, cast, get_args
from uuid import UUID

from parley_core.auth.principal import Principal
from parley_core.http.errors import Forbidden, InvalidRequest
from parley_core.http.pagination import DEFAULT_LIMIT, parse_limit
from parley_history.queries.query_parameters import parse_id

MAX_DAYS, DEFAULT_DAYS = 366, 30
ADMIN_SCOPE = "admin"

GroupBy = Literal["day", "session", "assistant", "model", "user"]
Cursor = date | UUID | str

_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_TEXT = re.compile(r"[^\x00]{0,500}", re.DOTALL)


@dataclass(frozen=True, slots=True)
class UsageRequest:
    """Days are in UTC and inclusive. `user` None means all users of the tenant.

    `after` is the key of a group, which serves as a cursor in the order of keys.
    """

    start: date
    end: date
    user: str | None
    group_by: GroupBy | None = None
    session_id: UUID | None = None
    assistant_id: str | None = None
    model: str | None = None
    limit: int = DEFAULT_LIMIT
    after: Cursor | None = None


def parse_usage_request(
    query: Mapping[str, str], principal: Principal, today: date
) -> UsageRequest:
    """Raises InvalidRequest with the name of the parameter, and Forbidden."""
    start, end = _parse_days(query, today)
    group_by = _parse_group_by(query)
    return UsageRequest(
        start=start,
        end=end,
        user=_parse_user(query, group_by, principal),
        group_by=group_by,
        session_id=parse_id(query, "session_id", "session"),
        assistant_id=_parse_text(query, "assistant_id"),
        model=_parse_text(query, "model"),
        limit=parse_limit(query),
        after=_parse_after(query, group_by),
    )


def _parse_days(query: Mapping[str, str], today: date) -> tuple[date, date]:
    end = _parse_date(query, "end") or today
    earliest = max(end.toordinal() - DEFAULT_DAYS + 1, date.min.toordinal())
    start = _parse_date(query, "start") or date.fromordinal(earliest)
    if not 0 <= (end - start).days < MAX_DAYS:
        raise InvalidRequest(
            f"start must not be after end, and at most {MAX_DAYS} days may be reported.",
            param="start",
        )
    return start, end


def _parse_group_by(query: Mapping[str, str]) -> GroupBy | None:
    group_by = query.get("group_by")
    if group_by is not None and group_by not in get_args(GroupBy):
        known = ", ".join(get_args(GroupBy))
        raise InvalidRequest(f"group_by should be one of {known}.", param="group_by")
    return cast(GroupBy | None, group_by)


def _parse_user(
    query: Mapping[str, str], group_by: GroupBy | None, principal: Principal
) -> str | None:
    user = _parse_text(query, "user")
    if user is None and group_by != "user":
        return principal.user
    if ADMIN_SCOPE not in principal.scopes:
        raise Forbidden("The usage of other users requires the scope admin.")
    return user


def _parse_after(query: Mapping[str, str], group_by: GroupBy | None) -> Cursor | None:
    match group_by:
        case "day":
            return _parse_date(query, "after")
        case "session":
            return parse_id(query, "after", "session")
        case None if "after" in query:
            raise InvalidRequest("after requires group_by.", param="after")
        case _:
            return _parse_text(query, "after")


def _parse_date(query: Mapping[str, str], name: str) -> date | None:
    if (text := query.get(name)) is None:
        return None
    try:
        if not _DATE.fullmatch(text):
            raise ValueError
        return date.fromisoformat(text)
    except ValueError:
        raise InvalidRequest(f"{name} should be a date such as 2026-11-24.", param=name) from None


def _parse_text(query: Mapping[str, str], name: str) -> str | None:
    text = query.get(name)
    if text is not None and not _TEXT.fullmatch(text):
        raise InvalidRequest(f"{name} should be a string of up to 500 characters.", param=name)
    return text

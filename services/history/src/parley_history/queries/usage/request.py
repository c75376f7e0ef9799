"""Which sums of usage are asked for, read from the query of a request."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Literal, cast, get_args
from uuid import UUID

from parley_core.auth.principal import Principal
from parley_core.http.errors import Forbidden, InvalidRequest
from parley_core.http.pagination import DEFAULT_LIMIT, parse_limit
from parley_history.queries.query_parameters import id_in

MOST_DAYS, DAYS_BY_DEFAULT = 366, 30
ADMIN = "admin"

GroupBy = Literal["day", "session", "assistant", "model", "user"]
Cursor = date | UUID | str

_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_TEXT = re.compile(r"[^\x00]{0,500}", re.DOTALL)


@dataclass(frozen=True, slots=True)
class UsageRequest:
    """Days in UTC, both inclusive; `user` None are all of the tenant.

    `after` is the key of a group, as a place in the order of keys.
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


def usage_request_of(query: Mapping[str, str], person: Principal, today: date) -> UsageRequest:
    """Raises InvalidRequest, which names the parameter, and Forbidden."""
    start, end = _days(query, today)
    group_by = _group_by(query)
    return UsageRequest(
        start=start,
        end=end,
        user=_user(query, group_by, person),
        group_by=group_by,
        session_id=id_in(query, "session_id", "session"),
        assistant_id=_text(query, "assistant_id"),
        model=_text(query, "model"),
        limit=parse_limit(query),
        after=_after(query, group_by),
    )


def _days(query: Mapping[str, str], today: date) -> tuple[date, date]:
    end = _date(query, "end") or today
    earliest = max(end.toordinal() - DAYS_BY_DEFAULT + 1, date.min.toordinal())
    start = _date(query, "start") or date.fromordinal(earliest)
    if not 0 <= (end - start).days < MOST_DAYS:
        raise InvalidRequest(
            f"start should be a day before end or the same, within {MOST_DAYS} days.",
            param="start",
        )
    return start, end


def _group_by(query: Mapping[str, str]) -> GroupBy | None:
    group_by = query.get("group_by")
    if group_by is not None and group_by not in get_args(GroupBy):
        known = ", ".join(get_args(GroupBy))
        raise InvalidRequest(f"group_by should be one of {known}.", param="group_by")
    return cast(GroupBy | None, group_by)


def _user(query: Mapping[str, str], group_by: GroupBy | None, person: Principal) -> str | None:
    user = _text(query, "user")
    if user is None and group_by != "user":
        return person.user
    if ADMIN not in person.scopes:
        raise Forbidden("The usage of others needs the scope admin.")
    return user


def _after(query: Mapping[str, str], group_by: GroupBy | None) -> Cursor | None:
    match group_by:
        case "day":
            return _date(query, "after")
        case "session":
            return id_in(query, "after", "session")
        case None if "after" in query:
            raise InvalidRequest("after needs a group_by.", param="after")
        case _:
            return _text(query, "after")


def _date(query: Mapping[str, str], name: str) -> date | None:
    if (text := query.get(name)) is None:
        return None
    try:
        if not _DATE.fullmatch(text):
            raise ValueError
        return date.fromisoformat(text)
    except ValueError:
        raise InvalidRequest(f"{name} should be a day such as 2026-11-24.", param=name) from None


def _text(query: Mapping[str, str], name: str) -> str | None:
    text = query.get(name)
    if text is not None and not _TEXT.fullmatch(text):
        raise InvalidRequest(f"{name} should be a text of up to 500 characters.", param=name)
    return text

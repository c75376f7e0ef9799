"""Which page of a person's sessions is asked for, read from the query of a request."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from parley_core.http.errors import InvalidRequest
from parley_core.http.pagination import PageParameters, parse_limit, parse_order
from parley_history.queries.query_parameters import VERSION_MOST, ids_in, instant_in

MOST_SEEN = 1_000
_ASSISTANT_ID = re.compile(r"[^\x00]{1,200}", re.DOTALL)


@dataclass(frozen=True, slots=True)
class SessionListRequest(PageParameters[UUID]):
    """`after` and `before` are ids of sessions, as places in the list that `order` makes.

    The list is in the order of the sessions' last events. `archived` None is either. `seen` are
    versions of sessions that the caller knows of, and wants to see here.
    """

    assistant_id: str | None = None
    archived: bool | None = False
    updated_after: datetime | None = None
    updated_before: datetime | None = None
    seen: Mapping[UUID, int] = field(default_factory=dict)


def session_list_request_of(query: Mapping[str, str]) -> SessionListRequest:
    """Raises InvalidRequest, which names the parameter."""
    after, before = ids_in(query, "session")
    return SessionListRequest(
        limit=parse_limit(query),
        order=parse_order(query),
        after=after,
        before=before,
        assistant_id=_assistant_id(query),
        archived=_archived(query),
        updated_after=instant_in(query, "updated_after"),
        updated_before=instant_in(query, "updated_before"),
        seen=seen_in(query),
    )


def _assistant_id(query: Mapping[str, str]) -> str | None:
    text = query.get("assistant_id")
    if text is not None and not _ASSISTANT_ID.fullmatch(text):
        raise InvalidRequest("assistant_id should be the id of an assistant.", param="assistant_id")
    return text


def _archived(query: Mapping[str, str]) -> bool | None:
    match query.get("archived", "false"):
        case "false":
            return False
        case "true":
            return True
        case "all":
            return None
        case _:
            raise InvalidRequest("archived should be true, false or all.", param="archived")


def seen_in(query: Mapping[str, str]) -> Mapping[UUID, int]:
    """Written as `<session id>:<version>,…`."""
    if not (text := query.get("seen")):
        return {}
    try:
        pairs = [entry.split(":") for entry in text.split(",")]
        seen = {UUID(session_id): int(version) for session_id, version in pairs}
    except ValueError:
        seen = {}
    if not 1 <= len(seen) <= MOST_SEEN or not all(1 <= v <= VERSION_MOST for v in seen.values()):
        raise InvalidRequest(
            f"seen should be up to {MOST_SEEN:,} sessions with a version each.", param="seen"
        )
    return seen

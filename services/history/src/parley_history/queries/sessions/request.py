"""Request for a page of a person's sessions, parsed from query parameters."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from parley_core.http.errors import InvalidRequest
from parley_core.http.pagination import PageParameters, parse_limit, parse_order
from parley_history.queries.query_parameters import (
    parse_allow_behind,
    parse_cursor_ids,
    parse_instant,
)

_ASSISTANT_ID = re.compile(r"[^\x00]{1,200}", re.DOTALL)


@dataclass(frozen=True, slots=True)
class SessionListRequest(PageParameters[UUID]):
    """`after` and `before` are session ids that serve as cursors in the order of the list.

    Sessions are ordered by the time of their last event. `archived` None means both. A list that
    lacks committed changes is refused, or with `allow_behind` marked.
    """

    assistant_id: str | None = None
    archived: bool | None = False
    updated_after: datetime | None = None
    updated_before: datetime | None = None
    allow_behind: bool = False


def parse_session_list_request(query: Mapping[str, str]) -> SessionListRequest:
    """Raises InvalidRequest with the name of the parameter."""
    after, before = parse_cursor_ids(query, "session")
    return SessionListRequest(
        limit=parse_limit(query),
        order=parse_order(query),
        after=after,
        before=before,
        assistant_id=_parse_assistant_id(query),
        archived=_parse_archived(query),
        updated_after=parse_instant(query, "updated_after"),
        updated_before=parse_instant(query, "updated_before"),
        allow_behind=parse_allow_behind(query),
    )


def _parse_assistant_id(query: Mapping[str, str]) -> str | None:
    text = query.get("assistant_id")
    if text is not None and not _ASSISTANT_ID.fullmatch(text):
        raise InvalidRequest("assistant_id should be the id of an assistant.", param="assistant_id")
    return text


def _parse_archived(query: Mapping[str, str]) -> bool | None:
    match query.get("archived", "false"):
        case "false":
            return False
        case "true":
            return True
        case "all":
            return None
        case _:
            raise InvalidRequest("archived should be true, false or all.", param="archived")

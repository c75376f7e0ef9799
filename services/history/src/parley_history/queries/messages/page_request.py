"""Request for a page of a session's messages, parsed from query parameters."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from parley_core.http.errors import InvalidRequest
from parley_core.http.pagination import PageParameters, parse_limit, parse_order
from parley_history.queries.query_parameters import (
    parse_allow_behind,
    parse_cursor_ids,
    parse_id,
    parse_version,
    parse_version_or_instant,
)


@dataclass(frozen=True, slots=True)
class PageRequest(PageParameters[UUID]):
    """`after` and `before` are message ids that serve as cursors in the order of the list.

    The list is the branch that ends at the newest message or at `leaf`, or every message with
    `all_branches`. `as_of`, a version or a time, excludes later messages. A page below
    `min_version` is refused, or with `allow_behind` marked.
    """

    min_version: int | None = None
    as_of: int | datetime | None = None
    leaf: UUID | None = None
    all_branches: bool = False
    allow_behind: bool = False

    @property
    def required_version(self) -> int:
        """The version that the page must have."""
        return max(self.min_version or 0, self.as_of_version or 0)

    @property
    def as_of_version(self) -> int | None:
        return self.as_of if isinstance(self.as_of, int) else None

    @property
    def as_of_instant(self) -> datetime | None:
        return self.as_of if isinstance(self.as_of, datetime) else None


def parse_page_request(query: Mapping[str, str], now: datetime) -> PageRequest:
    """Raises InvalidRequest with the name of the parameter."""
    after, before = parse_cursor_ids(query, "message")
    request = PageRequest(
        limit=parse_limit(query),
        order=parse_order(query),
        after=after,
        before=before,
        min_version=parse_version(query, "min_version"),
        as_of=parse_version_or_instant(query, "as_of"),
        leaf=parse_id(query, "leaf", "message"),
        all_branches=_parse_all_branches(query),
        allow_behind=parse_allow_behind(query),
    )
    if request.as_of_instant and request.as_of_instant > now:
        raise InvalidRequest("as_of must not be in the future.", param="as_of")
    if request.leaf and request.all_branches:
        raise InvalidRequest("leaf and branches=all cannot be combined.", param="branches")
    return request


def _parse_all_branches(query: Mapping[str, str]) -> bool:
    match query.get("branches"):
        case None:
            return False
        case "all":
            return True
        case _:
            raise InvalidRequest("branches should be all, or omitted.", param="branches")

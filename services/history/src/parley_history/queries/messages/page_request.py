"""Which page of a session's messages is asked for, read from the query of a request."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from parley_core.http.errors import InvalidRequest
from parley_core.http.pagination import PageParameters, parse_limit, parse_number, parse_order
from parley_history.queries.query_parameters import (
    VERSION_MOST,
    id_in,
    ids_in,
    version_or_instant_in,
)


@dataclass(frozen=True, slots=True)
class PageRequest(PageParameters[UUID]):
    """`after` and `before` are ids of messages, as places in the list that `order` makes.

    The list is the branch that ends with the newest message, or with `leaf`; or, with
    `all_branches`, every message. `as_of`, a version or an instant, leaves out what came later.
    The page has `min_version` or there is none; `seen` is waited for, and no more.
    """

    min_version: int | None = None
    seen: int | None = None
    as_of: int | datetime | None = None
    leaf: UUID | None = None
    all_branches: bool = False

    @property
    def least(self) -> int:
        """The version that the page must have."""
        return max(self.min_version or 0, self.as_of_version or 0)

    @property
    def wanted(self) -> int:
        """The version that is worth a wait."""
        return max(self.least, self.seen or 0)

    @property
    def as_of_version(self) -> int | None:
        return self.as_of if isinstance(self.as_of, int) else None

    @property
    def as_of_instant(self) -> datetime | None:
        return self.as_of if isinstance(self.as_of, datetime) else None


def page_request_of(query: Mapping[str, str], now: datetime) -> PageRequest:
    """Raises InvalidRequest, which names the parameter."""
    after, before = ids_in(query, "message")
    asked = PageRequest(
        limit=parse_limit(query),
        order=parse_order(query),
        after=after,
        before=before,
        min_version=parse_number(query, "min_version", VERSION_MOST),
        seen=parse_number(query, "seen", VERSION_MOST),
        as_of=version_or_instant_in(query, "as_of"),
        leaf=id_in(query, "leaf", "message"),
        all_branches=_all_branches(query),
    )
    if asked.as_of_instant and asked.as_of_instant > now:
        raise InvalidRequest("as_of is in the future.", param="as_of")
    if asked.leaf and asked.all_branches:
        raise InvalidRequest("Give leaf or branches=all, not both.", param="branches")
    return asked


def _all_branches(query: Mapping[str, str]) -> bool:
    match query.get("branches"):
        case None:
            return False
        case "all":
            return True
        case _:
            raise InvalidRequest("branches should be all, or left out.", param="branches")

"""Which page of a session's messages is asked for, read from the query of a request."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from parley_core.errors import InvalidRequest

LIMIT_DEFAULT, LIMIT_MOST = 20, 100
# A version is a Postgres integer.
VERSION_MOST = 2**31 - 1

_NUMBER = re.compile(r"[0-9]{1,10}", re.ASCII)


@dataclass(frozen=True, slots=True)
class PageRequest:
    """`after` and `before` are ids of messages, as places in the list that `order` makes."""

    limit: int = LIMIT_DEFAULT
    order: Literal["asc", "desc"] = "desc"
    after: UUID | None = None
    before: UUID | None = None
    min_version: int | None = None

    @property
    def cursor(self) -> UUID | None:
        return self.after or self.before

    @property
    def older(self) -> bool:
        """Whether the page goes from its cursor (or from the newest message) back in time."""
        return (self.order == "desc") == (self.before is None)

    @property
    def newest_first(self) -> bool:
        return self.order == "desc"


def page_request_of(query: Mapping[str, str]) -> PageRequest:
    """Raises InvalidRequest, which names the parameter."""
    after, before = _id(query, "after"), _id(query, "before")
    if after and before:
        raise InvalidRequest("Give after or before, not both.", param="before")
    return PageRequest(
        limit=_number(query, "limit", LIMIT_MOST) or LIMIT_DEFAULT,
        order=_order(query),
        after=after,
        before=before,
        min_version=_number(query, "min_version", VERSION_MOST),
    )


def _number(query: Mapping[str, str], name: str, most: int) -> int | None:
    if (text := query.get(name)) is None:
        return None
    if not _NUMBER.fullmatch(text) or not 1 <= int(text) <= most:
        raise InvalidRequest(f"{name} should be a whole number from 1 to {most}.", param=name)
    return int(text)


def _order(query: Mapping[str, str]) -> Literal["asc", "desc"]:
    match query.get("order", "desc"):
        case "asc":
            return "asc"
        case "desc":
            return "desc"
        case _:
            raise InvalidRequest("order should be asc or desc.", param="order")


def _id(query: Mapping[str, str], name: str) -> UUID | None:
    if (text := query.get(name)) is None:
        return None
    try:
        return UUID(text)
    except ValueError:
        raise InvalidRequest(f"{name} should be the id of a message.", param=name) from None

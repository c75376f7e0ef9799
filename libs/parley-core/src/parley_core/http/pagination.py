"""Pagination parameters of list requests (`limit`, `order`, `after`, `before`).

Every parser raises InvalidRequest that names the offending parameter.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from parley_core.http.errors import InvalidRequest

DEFAULT_LIMIT, MAX_LIMIT = 20, 100

Order = Literal["asc", "desc"]
Query = Mapping[str, str]
Id = TypeVar("Id")

_NUMBER = re.compile(r"[0-9]{1,10}", re.ASCII)


@dataclass(frozen=True, slots=True)
class PageParameters(Generic[Id]):
    """The requested page; `after` and `before` are IDs of items, in the sequence of `order`."""

    limit: int = DEFAULT_LIMIT
    order: Order = "desc"
    after: Id | None = None
    before: Id | None = None

    @property
    def cursor(self) -> Id | None:
        return self.before if self.after is None else self.after

    @property
    def older(self) -> bool:
        """Whether the page extends from its cursor (by default the newest item) back in time."""
        return (self.order == "desc") == (self.before is None)

    @property
    def newest_first(self) -> bool:
        return self.order == "desc"


def parse_limit(query: Query) -> int:
    return parse_number(query, "limit", MAX_LIMIT) or DEFAULT_LIMIT


def parse_number(query: Query, name: str, maximum: int) -> int | None:
    if (text := query.get(name)) is None:
        return None
    if not _NUMBER.fullmatch(text) or not 1 <= int(text) <= maximum:
        raise InvalidRequest(f"{name} should be an integer from 1 to {maximum}.", param=name)
    return int(text)


def parse_order(query: Query, default: Order = "desc") -> Order:
    match query.get("order", default):
        case "asc":
            return "asc"
        case "desc":
            return "desc"
        case _:
            raise InvalidRequest("order should be asc or desc.", param="order")


def parse_cursors(parse: Callable[[str], Id | None]) -> tuple[Id | None, Id | None]:
    """Return (`after`, `before`), at most one of them set; `parse` reads a parameter by name."""
    after, before = parse("after"), parse("before")
    if after is not None and before is not None:
        raise InvalidRequest("Give after or before, not both.", param="before")
    return after, before

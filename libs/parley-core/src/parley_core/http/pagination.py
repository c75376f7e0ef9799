"""Which page of a list is asked for, read from the query of a request. Each raises InvalidRequest,
which names the parameter.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from parley_core.http.errors import InvalidRequest

LIMIT_DEFAULT, LIMIT_MOST = 20, 100

Order = Literal["asc", "desc"]
Query = Mapping[str, str]
Id = TypeVar("Id")

_NUMBER = re.compile(r"[0-9]{1,10}", re.ASCII)


@dataclass(frozen=True, slots=True)
class ListCursor(Generic[Id]):
    """`after` and `before` are ids, as places in the list that `order` makes."""

    limit: int = LIMIT_DEFAULT
    order: Order = "desc"
    after: Id | None = None
    before: Id | None = None

    @property
    def cursor(self) -> Id | None:
        return self.before if self.after is None else self.after

    @property
    def older(self) -> bool:
        """Whether the page goes from its cursor (or from the newest) back in time."""
        return (self.order == "desc") == (self.before is None)

    @property
    def newest_first(self) -> bool:
        return self.order == "desc"


def limit_in(query: Query) -> int:
    return number_in(query, "limit", LIMIT_MOST) or LIMIT_DEFAULT


def number_in(query: Query, name: str, most: int) -> int | None:
    if (text := query.get(name)) is None:
        return None
    if not _NUMBER.fullmatch(text) or not 1 <= int(text) <= most:
        raise InvalidRequest(f"{name} should be a whole number from 1 to {most}.", param=name)
    return int(text)


def order_in(query: Query, default: Order = "desc") -> Order:
    match query.get("order", default):
        case "asc":
            return "asc"
        case "desc":
            return "desc"
        case _:
            raise InvalidRequest("order should be asc or desc.", param="order")


def cursors_by(id_of: Callable[[str], Id | None]) -> tuple[Id | None, Id | None]:
    """`after` and `before`, of which at most one is given; `id_of` reads the parameter it names."""
    after, before = id_of("after"), id_of("before")
    if after is not None and before is not None:
        raise InvalidRequest("Give after or before, not both.", param="before")
    return after, before

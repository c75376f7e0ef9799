"""The tables with wrapped keys: a rewrap, the counts and the check at a start read this list."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from parley_core.auth.principal import Principal
from parley_session.storage.keys import installation_key
from parley_session.storage.keys.search_keys import wrapping_id


@dataclass(frozen=True, slots=True)
class WrappedKeyTable:
    """A table with the column `wrapped_key`, which is null once a key is destroyed.

    `columns` are its primary key with types; `wrapped_for` gives the id that a row's key is for.
    """

    name: str
    columns: Sequence[tuple[str, str]]
    wrapped_for: Callable[[Sequence[Any]], UUID]

    @property
    def primary_key(self) -> str:
        return ", ".join(name for name, _ in self.columns)


WRAPPED_KEY_TABLES = (
    WrappedKeyTable(
        "installation_key", [("only_row", "boolean")], lambda _: installation_key.WRAPPING_ID
    ),
    WrappedKeyTable(
        "search_keys",
        [("tenant", "text"), ("owner", "text")],
        lambda row: wrapping_id(Principal(row[0], row[1])),
    ),
    WrappedKeyTable("sessions", [("id", "uuid")], lambda row: row[0]),
)

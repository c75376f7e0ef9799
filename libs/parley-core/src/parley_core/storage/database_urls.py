"""The URLs of a service's database, which change while it runs when their files do."""

from typing import Self

from pydantic import Field, PrivateAttr

from parley_core.runtime.settings import DatabaseUrl, SettingsGroup


class DatabaseUrls(SettingsGroup):
    """A subclass says in the description of `url` which database it is."""

    url: DatabaseUrl
    pooler_url: DatabaseUrl | None = Field(
        default=None,
        description=(
            "the URL of the same database through a pooler in transaction mode, such as PgBouncer; "
            "unset: requests connect directly, as everything else always does"
        ),
    )

    _current: "DatabaseUrls | None" = PrivateAttr(None)

    def replace(self, fresh: Self) -> None:
        """Use the URLs of `fresh` for new connections. Open ones stay."""
        self._current = fresh

    @property
    def current_url(self) -> str:
        """For the next connection."""
        return (self._current or self).url

    @property
    def current_pool_url(self) -> str:
        """For the next connection of the pool: to the pooler, if there is one."""
        current = self._current or self
        return current.pooler_url or current.url

"""The URL of Redis, which changes while a process runs when its file does."""

from typing import Annotated, Self

from pydantic import Field, PrivateAttr

from parley_core.runtime.settings import Prefix, RedisUrl, SettingsGroup


class RedisSettings(SettingsGroup):
    """Belongs under the prefix PARLEY_REDIS_, which all services share."""

    url: RedisUrl | None = Field(default=None, description="a URL such as redis://127.0.0.1:6379/0")

    _current: "RedisSettings | None" = PrivateAttr(None)

    def replace(self, fresh: Self) -> None:
        """Use the URL of `fresh` for new connections. Open ones end after their calls."""
        self._current = fresh

    @property
    def current_url(self) -> str:
        """For the next connection; only where `url` is set."""
        url = (self._current or self).url
        assert url is not None, "without a URL there is nothing to connect to"
        return url


RedisGroup = Annotated[RedisSettings, Prefix("PARLEY_REDIS_")]

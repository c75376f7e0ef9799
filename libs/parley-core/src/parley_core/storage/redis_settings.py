"""The URL of Redis, which changes while a process runs when its file does."""

from typing import Annotated, Self

from pydantic import AfterValidator, Field, PrivateAttr
from redis.asyncio import ConnectionPool
from redis.exceptions import RedisError

from parley_core.runtime.settings import Prefix, RedisUrl, SettingsGroup


def _check_parameters(url: str) -> str:
    """Return the URL; raises ValueError if no connection could be made with its parameters."""
    try:
        ConnectionPool.from_url(url).make_connection()  # type: ignore[no-untyped-call]
    except (ValueError, TypeError, RedisError):
        # Their messages may quote the URL.
        raise ValueError(
            "the parameters of the URL should be those of redis-py, such as ?ssl_ca_certs=/ca.pem"
        ) from None
    return url


class RedisSettings(SettingsGroup):
    """Belongs under the prefix PARLEY_REDIS_, which all services share."""

    url: Annotated[RedisUrl, AfterValidator(_check_parameters)] | None = Field(
        default=None, description="a URL such as redis://127.0.0.1:6379/0"
    )

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

"""Settings of the command line, and the other environment variables that it reads."""

import os
import sys
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

from parley_core.runtime.settings import InvalidSettings, Port, Settings, load

__all__ = [
    "DEFAULT_DATA",
    "ChatSettings",
    "DataSettings",
    "InvalidSettings",
    "TokenSettings",
    "load",
    "user_cache_folder",
    "variables",
]

DEFAULT_DATA = Path(".parley")
MIN_SECRET_BYTES = 32


def _signing_secret(secret: SecretStr) -> SecretStr:
    if len(secret.get_secret_value().encode()) < MIN_SECRET_BYTES:
        raise ValueError(f"it should have at least {MIN_SECRET_BYTES} bytes")
    return secret


class DataSettings(Settings):
    """The data folder of a stack."""

    data: Path = Field(DEFAULT_DATA, description="the path of the data folder")


class TokenSettings(DataSettings):
    """The signature and claims of development tokens."""

    jwt_secret: Annotated[SecretStr, AfterValidator(_signing_secret)] | None = Field(
        default=None,
        description="the secret that signs tokens (HS256); by default the one in the data folder",
    )


class ChatSettings(TokenSettings):
    """The gateway and the token of `parley chat`; its options override them."""

    port: Port = Field(default=8080, description="the port of the gateway, from 1 to 65535")
    token: SecretStr | None = Field(
        default=None, description="a bearer token; by default a development token is signed"
    )


def user_cache_folder() -> Path:
    """The folder of downloads that all data folders share.

    https://specifications.freedesktop.org/basedir-spec/latest/
    """
    if caches := os.environ.get("XDG_CACHE_HOME"):
        return Path(caches) / "parley"
    return Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "parley"


def variables(*prefixes: str) -> dict[str, str]:
    """The environment variables with one of the prefixes, to pass on to a child process."""
    return {name: value for name, value in os.environ.items() if name.startswith(prefixes)}

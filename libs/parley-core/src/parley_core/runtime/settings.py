"""What every service's settings share: read from PARLEY_* variables once, refused in sentences."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from parley_core.auth.principal import InternalSecret


class Settings(BaseSettings):
    """Base of a service's settings; a field `master_key` is read from PARLEY_MASTER_KEY.

    A field with a `validation_alias` is read from the variable of that name. An empty variable is
    one that is not set. Each field that can be wrong has a description: it says what the variable
    should look like. A validator's ValueError is read as it is, so it must not quote the value.
    """

    model_config = SettingsConfigDict(
        frozen=True,
        env_prefix="PARLEY_",
        env_ignore_empty=True,
        enable_decoding=False,
        extra="ignore",
        hide_input_in_errors=True,
        arbitrary_types_allowed=True,
    )


Count = Annotated[int, Field(ge=1, description="a whole number from 1")]
Seconds = Annotated[float, Field(gt=0, le=86_400, description="seconds, over 0 and up to 86400")]
Port = Annotated[int, Field(ge=1, le=65535, description="a port from 1 to 65535")]

InternalSecretSetting = Annotated[
    InternalSecret,
    BeforeValidator(
        lambda text: text if isinstance(text, InternalSecret) else InternalSecret.parse(text)
    ),
]

_PORT = r"(?:6553[0-5]|655[0-2]\d|65[0-4]\d{2}|6[0-4]\d{3}|[1-5]\d{4}|[1-9]\d{0,3})"
_HOST = re.compile(rf"(\[[0-9A-Fa-f:.]+\]|[^][:]*)(:{_PORT})?")

BootstrapServers = Annotated[
    str,
    Field(
        pattern=rf"^[^\s,/]+:{_PORT}(,[^\s,/]+:{_PORT})*$",
        description="Kafka's bootstrap servers, such as 127.0.0.1:9092",
    ),
]
RedisUrl = Annotated[
    str,
    Field(
        pattern=rf"^rediss?://([^\s/@]*@)?(\[[0-9A-Fa-f:.]+\]|[^\]\[\s:/@]+)(:{_PORT})?(/\S*)?$",
        description="a URL such as redis://127.0.0.1:6379/0",
    ),
]


def _database_url(url: str) -> str:
    # Checked here: what a client says of a URL that it cannot read may repeat its password.
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    hosts = parts.netloc.rpartition("@")[2].split(",")
    options = parts.query.split("&") if parts.query else []
    if (
        parts.scheme not in ("postgresql", "postgres")
        or not all(_HOST.fullmatch(host) for host in hosts)
        or not all("=" in option for option in options)
        or "@" in parts.path
        or parts.fragment
    ):
        raise ValueError(
            "it should be a URL such as postgresql://user:password@host:5432/database, "
            "in which a password's own / ? # @ and % are written as %2F %3F %23 %40 and %25"
        )
    return url


DatabaseUrl = Annotated[str, AfterValidator(_database_url)]
"""The address of a Postgres database; its password is never repeated."""


class SharedPort(Settings):
    """Of a service that may have several replicas behind one address."""

    shared_port: Port | None = None


Loaded = TypeVar("Loaded", bound=Settings)


class InvalidSettings(Exception):
    """A variable is missing or malformed; the message names it, and never repeats its value."""


def load(kind: type[Loaded]) -> Loaded:
    """Read the settings from the environment. Raises InvalidSettings."""
    try:
        return kind()
    except ValidationError as error:
        problems = error.errors(include_input=False, include_url=False)
        raise InvalidSettings("\n".join(_sentence(kind, one) for one in problems)) from None


def _sentence(kind: type[Settings], problem: Mapping[str, Any]) -> str:
    trouble = problem["msg"].removeprefix("Value error, ").rstrip(".")
    if not problem["loc"]:  # Of no single field: a model validator's own sentence.
        return f"{trouble}."
    variable, wanted = _variable(kind, str(problem["loc"][0]))
    form = f" It should be {wanted}." if wanted else ""
    if problem["type"] == "missing":
        return f"{variable} is not set.{form}"
    if problem["type"] == "value_error":
        return f"{trouble}." if trouble.startswith(variable) else f"{variable} is wrong: {trouble}."
    # pydantic's own words only where there are no better ones: some of them quote the input.
    return f"{variable} is wrong.{form}" if form else f"{variable} is wrong: {trouble}."


def _variable(kind: type[Settings], location: str) -> tuple[str, str | None]:
    """The variable that a problem's location stands for, and what it should look like."""
    for name, field in kind.model_fields.items():
        if location == field.validation_alias:
            return location, field.description
        if location == name:
            return f"PARLEY_{name.upper()}", field.description
    return location, None

"""What the command line reads from the environment. No other file of it does."""

import os
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr, model_validator

from parley_core.auth.principal import MIN_SECRET_BYTES, InternalSecret
from parley_core.crypto.master_keys import MasterKeys
from parley_core.log.settings import KafkaSecurity
from parley_core.runtime.settings import (
    BootstrapServers,
    Count,
    DatabaseUrl,
    InvalidSettings,
    Port,
    RedisUrl,
    Settings,
    Variable,
    load,
)

__all__ = [
    "ChatSettings",
    "InvalidSettings",
    "LogCommandSettings",
    "TokenSettings",
    "UpSettings",
    "load",
    "variables",
]


def _long_enough(secret: SecretStr) -> SecretStr:
    if len(secret.get_secret_value().encode()) < MIN_SECRET_BYTES:
        raise ValueError(f"it should have at least {MIN_SECRET_BYTES} characters")
    return secret


def _usable(key: SecretStr) -> SecretStr:
    MasterKeys.parse(key.get_secret_value())
    return key


def _shared(secret: SecretStr) -> SecretStr:
    InternalSecret.parse(secret.get_secret_value())
    return secret


class DataSettings(Settings):
    """Where a stack keeps what must outlive it."""

    data: Path = Path(".parley")


class TokenSettings(DataSettings):
    """How a development token is signed."""

    jwt_secret: Annotated[SecretStr, AfterValidator(_long_enough)] | None = None
    jwt_issuer: str | None = None
    jwt_audience: str | None = None


class ChatSettings(TokenSettings):
    """Whom `parley chat` talks to, unless it is told."""

    port: Port = 8080
    token: SecretStr | None = None


class ExternalEngineSettings(DataSettings, KafkaSecurity):
    """What is there already instead of being made; what a topic is made like."""

    postgres: DatabaseUrl | None = Field(
        None,
        description="an administrator's URL, such as postgresql://postgres:password@host/postgres",
    )
    kafka: BootstrapServers | None = Field(
        None, description="Kafka's bootstrap servers, such as 127.0.0.1:9092"
    )
    # For the one node that an embedded Kafka is.
    topic_partitions: Count = 12
    topic_replication: Count = 1
    topic_min_isr: Count = 1
    internal_secret: Annotated[SecretStr, AfterValidator(_shared)] | None = None


class UpSettings(TokenSettings, ExternalEngineSettings):
    """What `parley up` runs; everything else it makes itself."""

    host: str = "127.0.0.1"
    port: Port = 8080
    jwks_url: str | None = None
    master_key: Annotated[SecretStr, AfterValidator(_usable)] | None = None

    redis: RedisUrl | None = Field(None, description="a URL such as redis://127.0.0.1:6379/0")

    model: str | None = None
    models: Path | None = None
    assistants: Path | None = None
    policies: Path | None = None
    openai_base_url: Annotated[str | None, Variable("OPENAI_BASE_URL")] = None
    openai_api_key: Annotated[SecretStr | None, Variable("OPENAI_API_KEY")] = None

    @property
    def runs_demo_model(self) -> bool:
        return not (self.openai_base_url or self.openai_api_key or self.models)

    @model_validator(mode="after")
    def _names_a_model(self) -> "UpSettings":
        if not self.runs_demo_model and not self.model:
            raise ValueError(
                "PARLEY_MODEL is not set. It should be the name of a model that is served at "
                "OPENAI_BASE_URL or named in PARLEY_MODELS, such as gpt-4.1-mini"
            )
        return self


class LogCommandSettings(ExternalEngineSettings):
    """Where the commands about the log find what they read, unless a stack runs that says it."""

    session_database: DatabaseUrl | None = None
    history_database: DatabaseUrl | None = None
    master_key: Annotated[SecretStr, AfterValidator(_usable)] | None = None
    session_url: str | None = Field(
        None,
        description="the base URL of the session service, such as http://127.0.0.1:8081",
        pattern="^https?://",
    )


def variables(*prefixes: str) -> dict[str, str]:
    """The variables of the environment with one of the prefixes, to pass on to a child."""
    return {name: value for name, value in os.environ.items() if name.startswith(prefixes)}

"""Settings of `parley up` and of the commands on the log, backups and user data."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr, model_validator

from parley_cli.settings import DataSettings, TokenSettings
from parley_core.auth.service_keys import SigningKeySetting, key_of
from parley_core.crypto.master_keys import MasterKeys
from parley_core.log.kafka_settings import KafkaSecuritySettings
from parley_core.runtime.settings import (
    BootstrapServers,
    Count,
    DatabaseUrl,
    Port,
    Prefix,
    RedisUrl,
    Variable,
)
from parley_core.tls.tls_settings import TlsGroup, TlsSettings


def _master_key(key: SecretStr) -> SecretStr:
    MasterKeys.parse(key.get_secret_value())
    return key


class ExternalEngineSettings(DataSettings):
    """External engines, used instead of embedded ones, and the settings of new topics."""

    postgres: DatabaseUrl | None = Field(
        None,
        description="an administrator's URL, such as postgresql://postgres:password@host/postgres",
    )
    kafka: BootstrapServers | None = Field(
        None, description="Kafka's bootstrap servers, such as 127.0.0.1:9092"
    )
    redis: RedisUrl | None = Field(None, description="a URL such as redis://127.0.0.1:6379/0")
    # Defaults for an embedded Kafka, which is a single node.
    topic_partitions: Annotated[Count, Variable("PARLEY_SESSION_TOPIC_PARTITIONS")] = Field(
        default=12, description="the number of partitions of a new sessions topic, from 1"
    )
    topic_replication: Annotated[Count, Variable("PARLEY_SESSION_TOPIC_REPLICATION")] = Field(
        default=1, description="the replication factor of new topics, from 1"
    )
    topic_min_isr: Annotated[Count, Variable("PARLEY_SESSION_TOPIC_MIN_ISR")] = Field(
        default=1, description="the minimum of in-sync replicas of new topics, from 1"
    )
    kafka_security: Annotated[KafkaSecuritySettings, Prefix("PARLEY_KAFKA_")]


class UpSettings(TokenSettings, ExternalEngineSettings):
    """The settings of `parley up`, which generates secrets and addresses that are not set."""

    host: str = Field(default="127.0.0.1", description="the address on which the gateway listens")
    port: Port = Field(default=8080, description="the port of the gateway, from 1 to 65535")
    oidc_issuers: Path | None = Field(
        default=None,
        description="the path of a YAML file with the OpenID Connect issuers of tokens; without "
        "it, development tokens are valid",
    )
    master_key: Annotated[SecretStr, AfterValidator(_master_key)] | None = Field(
        default=None,
        description="the master key, id:base64; by default the key in the data folder",
    )
    model: str | None = Field(default=None, description="the name of the default model")
    models: Path | None = Field(
        default=None, description="the path of a YAML file with model servers and models"
    )
    assistants: Path | None = Field(
        default=None, description="the path of a YAML file with shared assistants"
    )
    policies: Path | None = Field(
        default=None, description="the path of a YAML file with retention policies"
    )
    limits_file: Path | None = Field(
        default=None,
        description="the path of a YAML file with limits per person, API key and model",
    )
    openai_base_url: Annotated[str | None, Variable("OPENAI_BASE_URL")] = Field(
        default=None, description="the base URL of an OpenAI-compatible model server"
    )
    openai_api_key: Annotated[SecretStr | None, Variable("OPENAI_API_KEY")] = Field(
        default=None, description="the API key of the model server"
    )

    @property
    def runs_demo_model(self) -> bool:
        return not (self.openai_base_url or self.openai_api_key or self.models)

    @model_validator(mode="after")
    def _require_model(self) -> "UpSettings":
        if not self.runs_demo_model and not self.model:
            raise ValueError(
                "PARLEY_MODEL is not set. It should be the name of a model that OPENAI_BASE_URL "
                "serves or PARLEY_MODELS defines, such as gpt-4.1-mini"
            )
        return self


class OperationsSettings(ExternalEngineSettings):
    """Locations for the commands on the log, backups and user data; by default the stack's."""

    session_database_url: DatabaseUrl | None = Field(
        default=None, description="the URL of the session service's database (event store)"
    )
    history_database_url: DatabaseUrl | None = Field(
        default=None, description="the URL of the history service's database (read model)"
    )
    master_key: Annotated[SecretStr, AfterValidator(_master_key)] | None = Field(
        default=None,
        description="the master key, id:base64; by default the key in the data folder",
    )
    tls: TlsGroup = TlsSettings()
    redis_url: RedisUrl | None = Field(
        None, description="the URL of the services' Redis, such as redis://127.0.0.1:6379/0"
    )
    session_url: str | None = Field(
        None,
        description="the base URL of the session service, such as http://127.0.0.1:8081",
        pattern="^https?://",
    )
    signing_key: Annotated[SigningKeySetting, key_of("cli")] | None = Field(
        default=None,
        description="the private Ed25519 key of the command line, a JSON Web Key; by default the "
        "key in the data folder",
    )

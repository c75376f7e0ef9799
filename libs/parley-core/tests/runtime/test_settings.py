"""Settings are read from environment variables; errors are plain sentences."""

from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator

from parley_core.runtime.settings import (
    BootstrapServers,
    InvalidSettings,
    Port,
    Prefix,
    RedisUrl,
    Seconds,
    Settings,
    SettingsGroup,
    Variable,
    load,
    setting_fields,
)

SECRET = "hunter2" * 5


class CacheSettings(SettingsGroup):
    max_bytes: int = Field(default=1_000, ge=1)
    ttl_seconds: Seconds = 30


class RequiredGroup(SettingsGroup):
    bootstrap_servers: BootstrapServers
    username: str | None = None


class ExampleSettings(Settings):
    shared_secret: SecretStr = Field(description="at least 32 random bytes", min_length=32)
    session_url: str = Field(description="the base URL of session", pattern="^https?://")
    port: int = Field(default=8081, ge=1, le=65535, description="a port from 1 to 65535")
    turns: int = Field(default=200, ge=1)
    models: Path | None = None
    page_cache: CacheSettings = CacheSettings()
    api_key: Annotated[
        SecretStr | None,
        Variable("OPENAI_API_KEY"),
        Field(min_length=3, description="the model server's key"),
    ] = None

    @field_validator("models")
    @classmethod
    def ends_in_yaml(cls, path: Path | None) -> Path | None:
        if path and path.suffix != ".yaml":
            raise ValueError("it should be a YAML file")
        return path


class NeedsAKey(Settings):
    api_key: Annotated[SecretStr, Variable("OPENAI_API_KEY"), Field(description="a key")]


class GroupedSettings(Settings, env_prefix="PARLEY_SERVICE_"):
    port: Port = 80
    kafka: Annotated[RequiredGroup, Prefix("PARLEY_KAFKA_")]
    redis_url: Annotated[RedisUrl | None, Variable("PARLEY_REDIS_URL")] = None


class EitherSettings(Settings):
    jwt_secret: str | None = None
    jwks_url: str | None = None

    @model_validator(mode="after")
    def one_of_them(self) -> Any:
        if (self.jwt_secret is None) == (self.jwks_url is None):
            raise ValueError("Either PARLEY_JWT_SECRET or PARLEY_JWKS_URL should be set.")
        return self


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets variables; the required ones of ExampleSettings are set already."""

    def set_to(**variables: Any) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    set_to(PARLEY_SHARED_SECRET=SECRET, PARLEY_SESSION_URL="http://session")
    for name in ("OPENAI_API_KEY", "PARLEY_JWT_SECRET", "PARLEY_JWKS_URL"):
        monkeypatch.delenv(name, raising=False)
    return set_to


def complaint(kind: Any = ExampleSettings) -> Any:
    with pytest.raises(InvalidSettings) as refusal:
        load(kind)
    assert refusal.value.__suppress_context__
    return str(refusal.value)


def test_an_unset_variable_has_its_default() -> None:
    settings = load(ExampleSettings)

    assert settings.shared_secret == SecretStr(SECRET)
    assert settings.session_url == "http://session"
    assert (settings.port, settings.models, settings.api_key) == (8081, None, None)


def test_a_set_variable_is_read(environment: Any) -> None:
    environment(PARLEY_PORT="9000", PARLEY_MODELS="/a.yaml", OPENAI_API_KEY="key", PORT="7")

    settings = load(ExampleSettings)

    assert (settings.port, settings.models) == (9000, Path("/a.yaml"))
    assert settings.api_key == SecretStr("key")


def test_settings_are_immutable() -> None:
    settings = load(ExampleSettings)

    with pytest.raises(ValidationError):
        settings.port = 1


def test_the_repr_shows_no_secret(environment: Any) -> None:
    environment(OPENAI_API_KEY="sk-secret")

    shown = repr(load(ExampleSettings))

    assert SECRET not in shown
    assert "sk-secret" not in shown


def test_a_secret_may_be_passed_as_an_object() -> None:
    secret = SecretStr("s" * 32)

    # The other required settings come from the environment, which a type checker does not know.
    given: dict[str, Any] = {"shared_secret": secret}
    assert ExampleSettings(**given).shared_secret is secret


@pytest.mark.parametrize("empty", [True, False])
def test_the_error_of_a_missing_variable_describes_its_value(
    empty: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    if empty:
        monkeypatch.setenv("PARLEY_SESSION_URL", "")
    else:
        monkeypatch.delenv("PARLEY_SESSION_URL")

    assert complaint() == "PARLEY_SESSION_URL is not set. It should be the base URL of session."


def test_each_invalid_variable_has_its_own_error(
    environment: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PARLEY_SHARED_SECRET")
    environment(PARLEY_PORT="http")

    assert complaint().splitlines() == [
        "PARLEY_SHARED_SECRET is not set. It should be at least 32 random bytes.",
        "PARLEY_PORT is wrong. It should be a port from 1 to 65535.",
    ]


def test_an_error_names_the_variable_that_a_field_declares(environment: Any) -> None:
    environment(OPENAI_API_KEY="sk")

    assert complaint() == "OPENAI_API_KEY is wrong. It should be the model server's key."


def test_the_error_of_a_missing_variable_names_the_declared_one() -> None:
    assert complaint(NeedsAKey) == "OPENAI_API_KEY is not set. It should be a key."


def test_a_short_secret_is_rejected(environment: Any) -> None:
    environment(PARLEY_SHARED_SECRET="hunter2")

    assert complaint() == ("PARLEY_SHARED_SECRET is wrong. It should be at least 32 random bytes.")


def test_the_message_of_a_validator_follows_the_name(environment: Any) -> None:
    environment(PARLEY_MODELS="/hunter2.json")

    assert complaint() == "PARLEY_MODELS is wrong: it should be a YAML file."


def test_without_a_description_the_rule_is_quoted(environment: Any) -> None:
    environment(PARLEY_TURNS="0")

    assert complaint() == ("PARLEY_TURNS is wrong: Input should be greater than or equal to 1.")


def test_the_message_of_a_model_validator_is_shown(environment: Any) -> None:
    environment(PARLEY_JWT_SECRET="hunter2", PARLEY_JWKS_URL="hunter2")

    assert complaint(EitherSettings) == (
        "Either PARLEY_JWT_SECRET or PARLEY_JWKS_URL should be set."
    )


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PARLEY_SHARED_SECRET", "hunter2"),
        ("PARLEY_SESSION_URL", "ftp://ada:hunter2@session"),
        ("PARLEY_PORT", "hunter2"),
        ("PARLEY_TURNS", "hunter2"),
        ("PARLEY_MODELS", "hunter2"),
        ("PARLEY_PAGE_CACHE_MAX_BYTES", "hunter2"),
    ],
)
def test_an_invalid_value_is_never_quoted(variable: Any, value: Any, environment: Any) -> None:
    environment(**{variable: value})

    message = complaint()

    assert message.startswith(variable)
    assert "hunter2" not in message


def test_groups_have_the_prefix_of_their_field_or_their_own(environment: Any) -> None:
    names = [setting.variable for setting in setting_fields(GroupedSettings)]

    assert names == [
        "PARLEY_SERVICE_PORT",
        "PARLEY_KAFKA_BOOTSTRAP_SERVERS",
        "PARLEY_KAFKA_USERNAME",
        "PARLEY_REDIS_URL",
    ]
    environment(PARLEY_KAFKA_BOOTSTRAP_SERVERS="broker:9092", PARLEY_PAGE_CACHE_MAX_BYTES="7")
    assert load(GroupedSettings).kafka.bootstrap_servers == "broker:9092"
    assert load(ExampleSettings).page_cache == CacheSettings(max_bytes=7)


def test_an_error_in_a_group_names_the_variable() -> None:
    assert complaint(GroupedSettings) == (
        "PARLEY_KAFKA_BOOTSTRAP_SERVERS is not set. "
        "It should be Kafka's bootstrap servers, such as 127.0.0.1:9092."
    )


def test_the_description_of_an_optional_type_is_found(environment: Any) -> None:
    environment(PARLEY_KAFKA_BOOTSTRAP_SERVERS="broker:9092", PARLEY_REDIS_URL="http://x")

    assert complaint(GroupedSettings) == (
        "PARLEY_REDIS_URL is wrong. It should be a URL such as redis://127.0.0.1:6379/0."
    )


def test_a_port_that_kubernetes_sets_for_a_service_is_ignored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class ServiceSettings(Settings, env_prefix="PARLEY_SESSION_"):
        port: Port = 8081

    monkeypatch.setenv("PARLEY_SESSION_PORT", "tcp://10.0.0.1:8081")
    assert load(ServiceSettings).port == 8081
    monkeypatch.setenv("PARLEY_SESSION_PORT", "9000")
    assert load(ServiceSettings).port == 9000

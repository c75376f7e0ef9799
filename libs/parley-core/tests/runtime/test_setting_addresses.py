"""Addresses of databases and other engines in settings."""

import pytest

from parley_core.runtime.settings import (
    BootstrapServers,
    DatabaseUrl,
    InvalidSettings,
    RedisUrl,
    Settings,
    load,
)


class StoreSettings(Settings):
    database: DatabaseUrl


class EngineSettings(Settings):
    kafka: BootstrapServers = "127.0.0.1:9092"
    redis: RedisUrl = "redis://127.0.0.1:6379/0"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://parley@localhost/parley",
        "postgres://parley:hunter2@localhost:5432/parley",
        "postgresql://parley:h%23nter%2F2@one:5432,two:5433/parley?sslmode=require",
        "postgresql://parley:hunter2@[::1]:5432/parley",
        "postgresql://postgres:@/postgres?host=/run/parley",
    ],
)
def test_a_database_url_is_read(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARLEY_DATABASE", url)

    assert load(StoreSettings).database == url


@pytest.mark.parametrize(
    "url",
    [
        "hunter2",
        "mysql://parley:hunter2@localhost/parley",
        # A client would repeat a part of each of these passwords.
        "postgresql://parley:hunter2#@localhost/parley",
        "postgresql://parley:hunter2/@localhost/parley",
        "postgresql://parley:1/hunter2@localhost/parley",
        "postgresql://parley:1?hunter2@localhost/parley",
        "postgresql://parley:x@localhost:hunter2/parley",
        "postgresql://[parley:hunter2",
    ],
)
def test_an_invalid_database_url_is_not_quoted(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARLEY_DATABASE", url)

    with pytest.raises(InvalidSettings) as refused:
        load(StoreSettings)

    assert refused.value.__suppress_context__
    message = str(refused.value)
    assert message.startswith("PARLEY_DATABASE is wrong: it should be a URL such as postgresql://")
    assert "hunter2" not in message


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PARLEY_KAFKA", "broker-1:9092,broker-2:65535"),
        ("PARLEY_KAFKA", "[::1]:9092"),
        ("PARLEY_REDIS", "redis://cache"),
        ("PARLEY_REDIS", "rediss://:secret@cache:6379/0"),
        ("PARLEY_REDIS", "redis://[::1]:6379"),
    ],
)
def test_valid_addresses_of_engines_are_accepted(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    settings = load(EngineSettings)
    assert value in (settings.kafka, settings.redis)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PARLEY_KAFKA", "127.0.0.1:65536"),
        ("PARLEY_KAFKA", "127.0.0.1"),
        ("PARLEY_KAFKA", "a:1,,b:2"),
        ("PARLEY_KAFKA", "kafka://a:0"),
        ("PARLEY_REDIS", "redis://:secret@cache:99999"),
        ("PARLEY_REDIS", "http://cache"),
        ("PARLEY_REDIS", "redis://"),
    ],
)
def test_invalid_addresses_of_engines_are_rejected(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(InvalidSettings) as refused:
        load(EngineSettings)
    assert str(refused.value).startswith(f"{variable} is wrong. It should be ")
    assert "secret" not in str(refused.value)

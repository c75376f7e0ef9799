"""Settings are read once, and rejected in sentences that repeat no secret."""

import pytest
from session_support.service import MASTER_KEY

from parley_core.runtime.settings import InvalidSettings, load, setting_fields
from parley_session.settings import CreateTopicSettings, MigrateSettings, SessionSettings
from parley_testing.peers import SERVICE_KEYS

VALID = {
    "PARLEY_SESSION_DATABASE_URL": "postgresql://parley:hunter2@127.0.0.1/parley_session",
    "PARLEY_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9092",
    "PARLEY_SERVICE_KEYS": SERVICE_KEYS,
    "PARLEY_MASTER_KEY": MASTER_KEY,
    "PARLEY_SESSION_DEFAULT_MODEL": "demo",
}


def set_variables(monkeypatch: pytest.MonkeyPatch, **changed: str) -> None:
    for name, value in (VALID | changed).items():
        monkeypatch.setenv(name, value)


def test_defaults_are_those_of_the_design(monkeypatch: pytest.MonkeyPatch) -> None:
    set_variables(monkeypatch)
    settings = load(SessionSettings)
    assert settings.turn.lease_seconds == 10
    assert settings.idempotency_hours == 24
    assert load(CreateTopicSettings).topic.partitions == 48


@pytest.mark.parametrize(
    ("invalid", "sentence"),
    [
        ({"PARLEY_KAFKA_BOOTSTRAP_SERVERS": ""}, "PARLEY_KAFKA_BOOTSTRAP_SERVERS is not set."),
        ({"PARLEY_SESSION_DATABASE_URL": ""}, "PARLEY_SESSION_DATABASE_URL is not set."),
        ({"PARLEY_SESSION_DATABASE_URL": "hunter2"}, "PARLEY_SESSION_DATABASE_URL is wrong"),
        ({"PARLEY_SESSION_DEFAULT_MODEL": ""}, "PARLEY_SESSION_DEFAULT_MODEL is not set."),
        ({"PARLEY_SERVICE_KEYS": "hunter2"}, "PARLEY_SERVICE_KEYS is wrong: it should be"),
        ({"PARLEY_MASTER_KEY": "hunter2"}, "PARLEY_MASTER_KEY should look like id:base64"),
        ({"PARLEY_SESSION_PORT": "0"}, "PARLEY_SESSION_PORT is wrong."),
        (
            {"PARLEY_SESSION_DATABASE_MAX_CONNECTIONS": "1"},
            "PARLEY_SESSION_DATABASE_MAX_CONNECTIONS is wrong.",
        ),
        ({"PARLEY_SESSION_DRAIN_SECONDS": "many"}, "PARLEY_SESSION_DRAIN_SECONDS is wrong."),
        (
            {"PARLEY_SESSION_TURN_LEASE_SECONDS": "-1"},
            "PARLEY_SESSION_TURN_LEASE_SECONDS is wrong.",
        ),
    ],
)
def test_an_invalid_setting_is_rejected_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, invalid: dict[str, str], sentence: str
) -> None:
    set_variables(monkeypatch, **invalid)
    with pytest.raises(InvalidSettings) as rejected:
        load(SessionSettings)
    assert str(rejected.value).startswith(sentence)
    assert "hunter2" not in str(rejected.value)


def test_a_command_needs_only_the_settings_that_it_uses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARLEY_KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9092")
    load(CreateTopicSettings)
    monkeypatch.setenv("PARLEY_SESSION_DATABASE_URL", VALID["PARLEY_SESSION_DATABASE_URL"])
    monkeypatch.delenv("PARLEY_KAFKA_BOOTSTRAP_SERVERS")
    load(MigrateSettings)


def test_the_representation_of_settings_contains_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    set_variables(monkeypatch)
    assert MASTER_KEY not in repr(load(SessionSettings))


def test_every_setting_has_a_description() -> None:
    undescribed = [
        each.variable for each in setting_fields(SessionSettings) if not each.description
    ]
    assert undescribed == ["PARLEY_KAFKA_BOOTSTRAP_SERVERS"] or undescribed == []

"""Settings are read once; a wrong one is said in a sentence that repeats no secret."""

import pytest
from session_peers.service import MASTER_KEY

from parley_core.runtime.settings import InvalidSettings, load
from parley_session.settings import DatabaseSettings, SessionSettings, TopicSettings
from parley_testing.peers import SECRET

RIGHT = {
    "PARLEY_SESSION_DATABASE": "postgresql://parley:hunter2@127.0.0.1/parley_session",
    "PARLEY_KAFKA": "127.0.0.1:9092",
    "PARLEY_INTERNAL_SECRET": SECRET,
    "PARLEY_MASTER_KEY": MASTER_KEY,
    "PARLEY_MODEL": "demo",
}


def given(monkeypatch: pytest.MonkeyPatch, **changed: str) -> None:
    for name, value in (RIGHT | changed).items():
        monkeypatch.setenv(name, value)


def test_defaults_are_those_of_the_design(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch)
    settings = load(SessionSettings)
    assert (settings.session_lease_seconds, settings.session_sweep_seconds) == (10, 1)
    assert settings.session_idempotency_hours == 24
    assert load(TopicSettings).topic_partitions == 48


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"PARLEY_KAFKA": ""}, "PARLEY_KAFKA is not set."),
        ({"PARLEY_SESSION_DATABASE": ""}, "PARLEY_SESSION_DATABASE is not set."),
        ({"PARLEY_SESSION_DATABASE": "hunter2"}, "PARLEY_SESSION_DATABASE is wrong"),
        ({"PARLEY_MODEL": ""}, "PARLEY_MODEL is not set."),
        ({"PARLEY_INTERNAL_SECRET": "hunter2"}, "PARLEY_INTERNAL_SECRET should be at least 32"),
        ({"PARLEY_MASTER_KEY": "hunter2"}, "PARLEY_MASTER_KEY should look like id:base64"),
        ({"PARLEY_SESSION_PORT": "0"}, "PARLEY_SESSION_PORT is wrong."),
        ({"PARLEY_SESSION_CONNECTIONS": "1"}, "PARLEY_SESSION_CONNECTIONS is wrong."),
        ({"PARLEY_RELAY_BYTES": "many"}, "PARLEY_RELAY_BYTES is wrong."),
        ({"PARLEY_SESSION_LEASE_SECONDS": "-1"}, "PARLEY_SESSION_LEASE_SECONDS is wrong."),
        # Over 3 s each tick would give every runner a new lease, for ever.
        ({"PARLEY_SESSION_SWEEP_SECONDS": "5"}, "PARLEY_SESSION_SWEEP_SECONDS is wrong."),
    ],
)
def test_a_wrong_setting_gives_a_sentence(
    monkeypatch: pytest.MonkeyPatch, wrong: dict[str, str], sentence: str
) -> None:
    given(monkeypatch, **wrong)
    with pytest.raises(InvalidSettings) as refused:
        load(SessionSettings)
    assert str(refused.value).startswith(sentence)
    assert "hunter2" not in str(refused.value)


def test_each_command_needs_no_more_than_it_uses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARLEY_KAFKA", "127.0.0.1:9092")
    load(TopicSettings)
    monkeypatch.setenv("PARLEY_SESSION_DATABASE", RIGHT["PARLEY_SESSION_DATABASE"])
    monkeypatch.delenv("PARLEY_KAFKA")
    load(DatabaseSettings)


def test_settings_show_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch)
    assert SECRET not in repr(load(SessionSettings))
    assert MASTER_KEY not in repr(load(SessionSettings))

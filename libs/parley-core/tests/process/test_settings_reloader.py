"""Secrets in files, and files that change as Kubernetes changes them."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import pytest
from core_fakes.mounted_secret import MountedSecret
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from parley_core.auth.service_keys import SigningKeySetting
from parley_core.process import settings_reloader
from parley_core.process.settings_reloader import SettingsReloader
from parley_core.runtime.settings import (
    DatabaseUrl,
    InvalidSettings,
    RedisUrl,
    Settings,
    Variable,
    load,
    setting_fields,
)
from parley_testing.eventually import eventually
from parley_testing.peers import signing_key

OLD, NEW = (json.dumps(signing_key("gateway", number).to_jwk()) for number in (1, 2))


class ExampleSettings(Settings, env_prefix="PARLEY_TEST_"):
    signing_key: SigningKeySetting
    api_key: SecretStr | None = None
    database_url: DatabaseUrl | None = None
    redis_url: Annotated[RedisUrl | None, Variable("PARLEY_REDIS_URL")] = None
    name: str = ""


@pytest.fixture
def secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MountedSecret:
    mounted = MountedSecret(tmp_path, f"{OLD}\n")
    monkeypatch.setenv("PARLEY_SIGNING_KEY_FILE", str(mounted.path))
    monkeypatch.delenv("PARLEY_SIGNING_KEY", raising=False)
    return mounted


def test_a_secret_is_read_from_a_file_without_its_last_line_break(secret: MountedSecret) -> None:
    assert load(ExampleSettings).signing_key.id == "gateway-1"


def test_secrets_and_urls_with_passwords_may_be_in_files() -> None:
    in_files = {each.variable for each in setting_fields(ExampleSettings) if each.is_secret}
    assert in_files == {
        "PARLEY_SIGNING_KEY",
        "PARLEY_TEST_API_KEY",
        "PARLEY_TEST_DATABASE_URL",
        "PARLEY_REDIS_URL",
    }


def test_a_variable_and_its_file_are_not_both_accepted(
    secret: MountedSecret, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PARLEY_SIGNING_KEY", OLD)
    with pytest.raises(InvalidSettings, match="are both set"):
        load(ExampleSettings)


@pytest.mark.parametrize("content", ["", "too short", "x" * 100_000])
def test_a_wrong_file_is_named_without_its_content(secret: MountedSecret, content: str) -> None:
    secret.replace(content)
    with pytest.raises(InvalidSettings, match="PARLEY_SIGNING_KEY") as invalid:
        load(ExampleSettings)
    assert not content or content not in str(invalid.value)


def test_a_missing_file_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PARLEY_SIGNING_KEY_FILE", str(tmp_path / "none"))
    with pytest.raises(InvalidSettings, match="PARLEY_SIGNING_KEY_FILE is wrong"):
        load(ExampleSettings)


async def test_a_reload_that_failed_is_tried_again_without_another_change(
    secret: MountedSecret, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(settings_reloader, "CHECK_INTERVAL_SECONDS", 0.01)
    settings, registry = load(ExampleSettings), CollectorRegistry()
    failures = [InvalidSettings("its file does not exist yet")] * 2 + [OSError()] * 3

    def apply(fresh: ExampleSettings) -> None:
        if failures:
            raise failures.pop()
        settings.signing_key.replace(fresh.signing_key)

    running = asyncio.create_task(SettingsReloader(settings, apply, registry).run())
    secret.replace(NEW)
    await eventually(lambda: settings.signing_key.id == "gateway-2")
    running.cancel()
    assert registry.get_sample_value("parley_config_reload_failed") == 0
    # Each reason is reported once.
    refusals = [each for each in caplog.messages if "changed settings are not used" in each]
    assert len(refusals) == 2
    failed = registry.get_sample_value("parley_config_reloads_total", {"outcome": "failed"})
    assert failed == 2


async def test_a_file_that_changes_during_a_reload_is_read_again(
    secret: MountedSecret, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings_reloader, "CHECK_INTERVAL_SECONDS", 0.01)
    settings = load(ExampleSettings)

    def apply(fresh: ExampleSettings) -> None:
        settings.signing_key.replace(fresh.signing_key)
        if fresh.signing_key.id == "gateway-2":
            secret.replace(OLD)

    running = asyncio.create_task(SettingsReloader(settings, apply, CollectorRegistry()).run())
    secret.replace(NEW)
    await eventually(lambda: settings.signing_key.id == "gateway-2")
    await eventually(lambda: settings.signing_key.id == "gateway-1")
    running.cancel()


async def test_a_changed_file_takes_effect_and_a_wrong_one_keeps_the_old_content(
    secret: MountedSecret, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings_reloader, "CHECK_INTERVAL_SECONDS", 0.01)
    settings, registry = load(ExampleSettings), CollectorRegistry()

    def apply(fresh: ExampleSettings) -> None:
        settings.signing_key.replace(fresh.signing_key)

    def is_failed(value: float) -> Callable[[], bool]:
        return lambda: registry.get_sample_value("parley_config_reload_failed") == value

    running = asyncio.create_task(SettingsReloader(settings, apply, registry).run())
    secret.replace(NEW)
    await eventually(lambda: settings.signing_key.id == "gateway-2")
    secret.replace("too short")
    await eventually(is_failed(1))
    assert settings.signing_key.id == "gateway-2"
    secret.replace(OLD)
    await eventually(is_failed(0))
    assert settings.signing_key.id == "gateway-1"
    outcomes = {
        outcome: registry.get_sample_value("parley_config_reloads_total", {"outcome": outcome})
        for outcome in ("ok", "failed")
    }
    assert outcomes == {"ok": 2, "failed": 1}
    running.cancel()

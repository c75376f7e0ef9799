"""The file of Kafka's password changes while clients run."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Annotated

import pytest
from core_fakes.mounted_secret import MountedSecret
from core_fakes.secured_kafka import PASSWORD, USER, SecuredKafka, secured_kafka
from prometheus_client import CollectorRegistry

from parley_core.log import Brokers, GroupReader, LogError, LogWriter, ensure_topic
from parley_core.log.kafka_settings import KafkaSettings
from parley_core.process import settings_reloader
from parley_core.process.settings_reloader import SettingsReloader
from parley_core.runtime.background_tasks import background_tasks
from parley_core.runtime.settings import Prefix, Settings, load
from parley_events.cloudevents import Record
from parley_events.topics import TopicSpec
from parley_testing.eventually import eventually

RECORD = Record(b"key", [("n", b"1")], b"value")


class ProcessSettings(Settings):
    kafka: Annotated[KafkaSettings, Prefix("PARLEY_KAFKA_")]


@pytest.fixture
async def kafka(tmp_path: Path, engine_cache: Path) -> AsyncIterator[SecuredKafka]:
    async with secured_kafka(tmp_path, engine_cache) as server:
        yield server


@pytest.fixture
def secret(kafka: SecuredKafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MountedSecret:
    mounted = MountedSecret(tmp_path / "mounted", PASSWORD)
    monkeypatch.setattr(settings_reloader, "CHECK_INTERVAL_SECONDS", 0.01)
    monkeypatch.setenv("PARLEY_KAFKA_BOOTSTRAP_SERVERS", kafka.bootstrap_of("password"))
    monkeypatch.setenv("PARLEY_KAFKA_SECURITY_PROTOCOL", "SASL_SSL")
    monkeypatch.setenv("PARLEY_KAFKA_SSL_CA_PATH", str(kafka.files / "authority.pem"))
    monkeypatch.setenv("PARLEY_KAFKA_SASL_MECHANISM", "PLAIN")
    monkeypatch.setenv("PARLEY_KAFKA_SASL_USERNAME", USER)
    monkeypatch.setenv("PARLEY_KAFKA_SASL_PASSWORD_FILE", str(mounted.path))
    monkeypatch.delenv("PARLEY_KAFKA_SASL_PASSWORD", raising=False)
    return mounted


async def test_clients_that_start_after_a_change_use_the_new_password(
    kafka: SecuredKafka, secret: MountedSecret, topic: str
) -> None:
    settings = load(ProcessSettings)

    def apply(fresh: ProcessSettings) -> None:
        settings.kafka.replace(fresh.kafka)

    # As a process does: the description of the brokers is made once.
    brokers = settings.kafka.brokers
    writer, group = LogWriter(brokers, topic), GroupReader(brokers, topic, topic, _beginning)
    await ensure_topic(Brokers(kafka.bootstrap), TopicSpec(topic, 1, 1, 1))
    async with background_tasks(SettingsReloader(settings, apply, CollectorRegistry()).run()):
        for client in (writer, group):
            await client.start()
            assert not client.is_outdated
        await kafka.restart_with("another password")
        assert (await writer.append([RECORD], timeout=1)).error is not None

        secret.replace("another password")

        await eventually(lambda: writer.is_outdated and group.is_outdated)
        for client in (writer, group):
            await client.close()
            await client.start()
            assert not client.is_outdated
        assert (await writer.append([RECORD], timeout=5)).error is None
        assert RECORD in [entry.record for entry in await group.read(timeout=15)]
    for client in (writer, group):
        await client.close()


async def test_a_client_cannot_start_before_kafka_has_the_new_password(
    kafka: SecuredKafka, secret: MountedSecret, topic: str
) -> None:
    settings = load(ProcessSettings)
    secret.replace("another password")
    settings.kafka.replace(load(ProcessSettings).kafka)
    writer = LogWriter(settings.kafka.brokers, topic)
    with pytest.raises(LogError, match="cannot be written") as error:
        await writer.start(timeout=3)
    assert "another password" not in f"{error.value} {settings.kafka.brokers}"


async def _beginning(partitions: Sequence[int]) -> dict[int, int]:
    return dict.fromkeys(partitions, 0)

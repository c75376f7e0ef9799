"""The file of Kafka's password changes while the projector runs."""

import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from core_fakes.mounted_secret import MountedSecret
from core_fakes.secured_kafka import PASSWORD, USER, SecuredKafka, secured_kafka
from history_testing.log import relay_to
from history_testing.processes import projector_environment
from history_testing.read_model import ReadModelTables, folded, projected
from history_testing.stories import chat, mixed

from parley_core.log import Brokers, ensure_topic
from parley_core.process import settings_reloader
from parley_core.runtime.settings import load
from parley_events.topics import TopicSpec
from parley_history.projector_app import create_projector_app
from parley_history.settings import ProjectSettings
from parley_testing.eventually import eventually


@pytest.fixture
async def kafka(tmp_path: Path, engine_cache: Path) -> AsyncIterator[SecuredKafka]:
    async with secured_kafka(tmp_path, engine_cache) as server:
        yield server


async def test_a_projector_joins_its_group_again_whichever_side_has_the_new_password_first(
    tables: ReadModelTables,
    kafka: SecuredKafka,
    topic: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(settings_reloader, "CHECK_INTERVAL_SECONDS", 0.01)
    secret = MountedSecret(tmp_path / "mounted", PASSWORD)
    security = {
        "PARLEY_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "PARLEY_KAFKA_SSL_CA_PATH": str(kafka.files / "authority.pem"),
        "PARLEY_KAFKA_SASL_MECHANISM": "PLAIN",
        "PARLEY_KAFKA_SASL_USERNAME": USER,
        "PARLEY_KAFKA_SASL_PASSWORD_FILE": str(secret.path),
    }
    bootstrap = kafka.bootstrap_of("password")
    environment = projector_environment(tables, bootstrap, topic, **security)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    await ensure_topic(Brokers(kafka.bootstrap), TopicSpec(topic, 2, 1, 1))
    stories = [chat(2) for _ in range(9)]

    async def is_projected(part: slice) -> None:
        async with relay_to(kafka.bootstrap, topic) as relay:
            await relay.publish(mixed(stories[part], random.Random(1)))
        await eventually(projected(tables, stories[part]), within=60)

    app = create_projector_app(load(ProjectSettings))
    registry = app.state.monitor.registry

    def is_waiting() -> Any:
        return registry.get_sample_value("parley_dependency_up", {"dependency": "kafka"}) == 0

    async with app.router.lifespan_context(app):
        await is_projected(slice(0, 3))

        secret.replace("second")
        await eventually(is_waiting)
        await kafka.restart_with("second")
        await is_projected(slice(3, 6))

        await kafka.restart_with("third")
        secret.replace("third")
        await is_projected(slice(6, 9))
    assert app.state.failure is None
    assert await tables.rows() == folded(*stories)

"""The file of Kafka's password changes while the session service publishes."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from core_fakes.mounted_secret import MountedSecret
from core_fakes.secured_kafka import PASSWORD, USER, SecuredKafka, secured_kafka
from session_support.appending import append_turns
from session_support.components import Components
from session_support.log_reading import assert_all_in_log, outbox_is_empty
from session_support.process import variables

from parley_core.log import Brokers, ensure_topic
from parley_core.process import settings_reloader
from parley_core.storage.postgres_pool import Pool
from parley_events.topics import SESSIONS_TOPIC, TopicSpec
from parley_testing.eventually import eventually


@pytest.fixture
async def kafka(tmp_path: Path, engine_cache: Path) -> AsyncIterator[SecuredKafka]:
    async with secured_kafka(tmp_path, engine_cache) as server:
        yield server


async def test_events_are_published_with_the_new_password_whichever_side_has_it_first(
    serve: Any,
    runtime_database: str,
    pool: Pool,
    components: Components,
    kafka: SecuredKafka,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(settings_reloader, "CHECK_INTERVAL_SECONDS", 0.01)
    secret = MountedSecret(tmp_path / "mounted", PASSWORD)
    security = {
        "kafka_bootstrap_servers": kafka.bootstrap_of("password"),
        "kafka_security_protocol": "SASL_SSL",
        "kafka_ssl_ca_path": kafka.files / "authority.pem",
        "kafka_sasl_mechanism": "PLAIN",
        "kafka_sasl_username": USER,
    }
    in_file = {"kafka_sasl_password_file": secret.path}
    for name, value in variables(runtime_database, **security, **in_file).items():
        monkeypatch.setenv(name, value)
    await ensure_topic(Brokers(kafka.bootstrap), TopicSpec(SESSIONS_TOPIC, 1, 1, 1))
    session = await serve(**security, kafka_sasl_password=PASSWORD)

    async def is_reloaded() -> bool:
        return bool((await session.metrics("ok")).get("parley_config_reloads_total", 0))

    await append_turns(components, 1)
    await eventually(lambda: outbox_is_empty(pool))

    secret.replace("second")
    await eventually(is_reloaded)
    await append_turns(components, 1)
    await kafka.restart_with("second")
    await eventually(lambda: outbox_is_empty(pool))

    await kafka.restart_with("third")
    await append_turns(components, 1)
    assert not await outbox_is_empty(pool)
    secret.replace("third")
    await eventually(lambda: outbox_is_empty(pool))
    await assert_all_in_log(pool, kafka.bootstrap, SESSIONS_TOPIC)

"""Metrics of history's processes; unavailable ones are omitted."""

import asyncio
from dataclasses import replace
from typing import Any

import aiohttp
from history_testing.fixtures import StartHistory
from history_testing.log import relay_to
from history_testing.processes import (
    project_settings,
    projector_environment,
    stderr_at_exit,
)
from history_testing.read_model import ReadModelTables
from history_testing.stories import chat
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from parley_history.projection.metrics import register_projector_metrics
from parley_history.projector_app import create_projector, create_watchdog
from parley_testing.eventually import eventually
from parley_testing.processes import started
from parley_testing.session_service import FakeSessionService


async def metrics_at(url: str) -> Any:
    """Return the value of each sample by name and labels."""
    try:
        async with aiohttp.ClientSession() as http, http.get(f"{url}/metrics") as response:
            text = await response.text()
    except aiohttp.ClientError:
        return {}
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_a_projector_reports_lag_parked_sessions_and_its_counters(
    tables: ReadModelTables, kafka_bootstrap: str, log_topic: str
) -> None:
    story, parked = chat(2), chat(2)
    poison = replace(parked.records[1], value=b"")
    beyond = chat(2).records[3]
    environment = projector_environment(tables, kafka_bootstrap, log_topic)
    url = f"http://127.0.0.1:{environment['PARLEY_HISTORY_PROJECTOR_MANAGEMENT_PORT']}"
    process = await started("parley_history", "project", **environment)
    records = [*story.records, parked.records[0], poison, *parked.records[2:], beyond]
    async with relay_to(kafka_bootstrap, log_topic) as relay:
        await relay.publish(records)
    expected: dict[tuple[str, ...], int] = {
        ("parley_history_projector_events_total",): len(records),
        ("parley_history_sessions_parked_total",): 1,
        ("parley_history_dead_letters",): parked.version - 1,
        ("parley_history_parked_sessions",): 1,
        ("parley_history_deferred_events",): 1,
        ("parley_history_projector_partitions",): 4,
        **{("parley_history_projector_lag_events", str(partition)): 0 for partition in range(4)},
    }

    async def are_reported() -> Any:
        return expected.items() <= (await metrics_at(url)).items()

    await eventually(are_reported)
    await tables.connection.execute("ALTER TABLE positions RENAME TO away")

    async def are_omitted() -> Any:
        metrics = await metrics_at(url)
        names = {name for name, *_ in metrics}
        reported = names & {"parley_history_dead_letters", "parley_history_projector_lag_events"}
        return not reported and metrics["parley_history_projector_events_total",] == len(records)

    await eventually(are_omitted)
    process.kill()
    await stderr_at_exit(process)


async def test_before_the_first_check_unknown_metrics_are_omitted(
    tables: ReadModelTables, kafka_bootstrap: str, log_topic: str
) -> None:
    settings = project_settings(
        tables.runtime_dsn, bootstrap_servers=kafka_bootstrap, topic=log_topic
    )
    projector, registry = create_projector(settings), CollectorRegistry()
    register_projector_metrics(registry, projector, create_watchdog(settings, projector))
    assert registry.get_sample_value("parley_history_projector_events_total") == 0
    assert registry.get_sample_value("parley_history_dead_letters") is None
    assert (
        registry.get_sample_value("parley_history_projector_lag_events", {"partition": "0"}) is None
    )


async def test_serve_reports_the_number_of_waiting_requests(
    start: StartHistory, session: FakeSessionService
) -> None:
    history, story = await start(wait_seconds=30), chat(1)
    session.add(story)
    reading = asyncio.create_task(history.read(story.id, min_version=9))

    async def is_reported() -> Any:
        return (await metrics_at(history.url))["parley_history_projection_waiters",] == 1

    await eventually(is_reported)
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)

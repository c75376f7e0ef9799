"""What history's processes tell in numbers, and that they leave out what nobody knows."""

import asyncio
from dataclasses import replace

import aiohttp
from history_peers.log import relay_to
from history_peers.processes import ended, projector_environment, projector_of
from history_peers.stories import chat
from prometheus_client.parser import text_string_to_metric_families

from parley_history.projection.metrics import projector_registry
from parley_history.projector_app import create_watchdog
from parley_history.settings import ProjectorSettings
from parley_testing.eventually import eventually
from parley_testing.processes import started


async def numbers_at(url):
    """The value of each sample, by name and labels."""
    try:
        async with aiohttp.ClientSession() as http, http.get(f"{url}/metrics") as answer:
            text = await answer.text()
    except aiohttp.ClientError:
        return {}
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_a_projector_tells_lag_parked_sessions_and_what_it_did(
    tables, kafka_bootstrap, log_topic
):
    story, parked = chat(2), chat(2)
    poison = replace(parked.records[1], value=b"")
    beyond = chat(2).records[3]
    environment = projector_environment(
        tables, kafka_bootstrap, log_topic, PARLEY_PROJECTOR_LOOK_SECONDS="0.05"
    )
    url = f"http://127.0.0.1:{environment['PARLEY_PROJECTOR_PORT']}"
    process = await started("parley_history", "project", **environment)
    records = [*story.records, parked.records[0], poison, *parked.records[2:], beyond]
    async with relay_to(kafka_bootstrap, log_topic) as relay:
        await relay.publish(records)
    expected = {
        ("parley_projector_events_total",): len(records),
        ("parley_parked_total",): 1,
        ("parley_dead_letters",): parked.version - 1,
        ("parley_parked_sessions",): 1,
        ("parley_held_events",): 1,
        ("parley_projector_partitions",): 4,
        **{("parley_projector_lag_events", str(partition)): 0 for partition in range(4)},
    }

    async def told():
        return expected.items() <= (await numbers_at(url)).items()

    await eventually(told, within=30)
    await tables.connection.execute("ALTER TABLE positions RENAME TO away")

    async def unknown():
        numbers = await numbers_at(url)
        names = {name for name, *_ in numbers}
        left = names & {"parley_dead_letters", "parley_projector_lag_events"}
        return not left and numbers["parley_projector_events_total",] == len(records)

    await eventually(unknown)
    process.kill()
    await ended(process)


async def test_before_the_first_look_nothing_is_guessed(tables, kafka_bootstrap, log_topic):
    settings = {"kafka": kafka_bootstrap, "projector_topic": log_topic}
    projector = projector_of(tables.dsn, **settings)
    watchdog = create_watchdog(
        ProjectorSettings(history_database=tables.dsn, **settings), projector
    )
    registry = projector_registry(projector, watchdog)
    assert registry.get_sample_value("parley_projector_events_total") == 0
    assert registry.get_sample_value("parley_dead_letters") is None
    assert registry.get_sample_value("parley_projector_lag_events", {"partition": "0"}) is None


async def test_serve_tells_how_many_requests_wait(start, session):
    history, story = await start(history_wait_seconds=30), chat(1)
    session.knows(story)
    reading = asyncio.create_task(history.read(story.id, min_version=9))

    async def told():
        return (await numbers_at(history.url))["parley_history_waiting",] == 1

    await eventually(told)
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)

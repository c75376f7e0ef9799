"""The process as it is run: `python -m parley_session migrate | create-topic | serve`."""

import asyncio
import socket

import asyncpg
import pytest
from session_peers.process import TurnInput, session_process
from session_peers.service import MASTER_KEY, NO_KAFKA

from parley_core.log import Brokers, ensure_topic
from parley_core.storage.postgres_pool import Pool
from parley_events.topics import SESSIONS_TOPIC, TopicSpec
from parley_testing.eventually import eventually
from parley_testing.peers import SECRET

TOPIC = {"topic_partitions": 2, "topic_replication": 1, "topic_min_isr": 1}
NO_DATABASE = "postgresql://parley:hunter2@127.0.0.1:1/parley_session"
SECRETS = (SECRET, MASTER_KEY, "hunter2")


@pytest.mark.parametrize(
    ("command", "wrong", "sentence"),
    [
        ("serve", {"session_database": ""}, "PARLEY_SESSION_DATABASE is not set."),
        ("serve", {"kafka": ""}, "PARLEY_KAFKA is not set."),
        ("serve", {"internal_secret": "hunter2"}, "PARLEY_INTERNAL_SECRET should be"),
        ("serve", {"master_key": "k1:hunter2"}, "PARLEY_MASTER_KEY should look like"),
        ("serve", {"model": ""}, "PARLEY_MODEL is not set."),
        ("serve", {"policies": "/nowhere.yaml"}, "PARLEY_POLICIES is wrong: it cannot be read"),
        (
            "migrate",
            {"assistants": "/nowhere.yaml"},
            "PARLEY_ASSISTANTS is wrong: it cannot be read",
        ),
        ("serve", {"relay_records": "0"}, "PARLEY_RELAY_RECORDS is wrong."),
        (
            "migrate",
            {"session_database": "postgresql://u:hunter2#@127.0.0.1/db"},
            "PARLEY_SESSION_DATABASE is wrong: it should be a URL such as",
        ),
        ("create-topic", {"topic_partitions": "many"}, "PARLEY_TOPIC_PARTITIONS is wrong."),
    ],
)
async def test_wrong_settings_end_the_start_with_code_2_and_a_sentence(
    run: TurnInput, command: str, wrong: dict[str, str], sentence: str
) -> None:
    ended = await run(command, NO_DATABASE, **wrong)
    assert ended.code == 2
    assert ended.complained.startswith(sentence)
    assert not any(secret in ended.complained for secret in SECRETS)


async def test_an_unknown_command_ends_with_code_2(run: TurnInput) -> None:
    ended = await run("sweep", NO_DATABASE)
    assert ended.code == 2
    assert "migrate" in ended.complained


async def test_migrate_brings_a_database_to_this_version_and_says_so(
    run: TurnInput, database: str
) -> None:
    first = await run("migrate", database)
    assert first.code == 0
    assert first.said == (
        "applied 0001 event_store\napplied 0002 whole_sessions\napplied 0003 assistants\n"
        "applied 0004 completions\n"
        "3 assistants are now as their file says\n"
    )
    again = await run("migrate", database)
    assert (again.code, again.said, again.complained) == (0, "", "")


async def test_serving_a_database_that_was_not_migrated_ends_with_code_1(
    run: TurnInput, database: str
) -> None:
    ended = await run("serve", database)
    assert (ended.code, ended.complained) == (
        1,
        "The database is empty: run the `migrate` command first.\n",
    )


async def test_serving_a_database_of_a_later_version_ends_with_code_1(
    run: TurnInput, store_database: str, pool: Pool
) -> None:
    await pool.execute("INSERT INTO schema_migrations VALUES (99, 'later', 'x')")
    try:
        ended = await run("serve", store_database)
    finally:
        await pool.execute("DELETE FROM schema_migrations WHERE number = 99")
    assert ended.code == 1
    assert ended.complained.startswith("The database has migration 99, which this version does")


@pytest.mark.parametrize("command", ["migrate", "serve"])
async def test_a_database_that_is_away_ends_with_code_1(run: TurnInput, command: str) -> None:
    ended = await run(command, NO_DATABASE)
    assert ended.code == 1
    assert ended.complained.startswith("The event store cannot be used: ")
    assert len(ended.complained.splitlines()) == 1
    assert not any(secret in ended.complained for secret in SECRETS)


async def test_create_topic_makes_the_topics_or_finds_them(
    run: TurnInput, kafka_bootstrap: str, topic: str
) -> None:
    topics = {"relay_topic": topic, "relay_assistants_topic": f"{topic}.assistants"}
    for _ in range(2):
        ended = await run("create-topic", "", kafka=kafka_bootstrap, **topics, **TOPIC)
        assert (ended.code, ended.complained) == (0, "")
        assert ended.said == (
            f"{topic} is ready; partitions: 2\n{topic}.assistants is ready; partitions: 1\n"
        )


async def test_a_topic_with_other_settings_ends_with_code_1(
    run: TurnInput, kafka_bootstrap: str, topic: str
) -> None:
    await ensure_topic(Brokers(kafka_bootstrap), TopicSpec(topic, 3, 1, 1))
    ended = await run("create-topic", "", kafka=kafka_bootstrap, relay_topic=topic, **TOPIC)
    assert (ended.code, ended.complained) == (
        1,
        f"The topic {topic} exists with other settings: partitions is 3 and must be 2.\n",
    )


async def test_a_log_that_is_away_ends_with_code_1(run: TurnInput) -> None:
    ended = await run("create-topic", "", kafka=NO_KAFKA, **TOPIC)
    assert ended.code == 1
    assert f"The topic {SESSIONS_TOPIC} could not be prepared" in ended.complained


async def test_a_taken_port_ends_with_code_1(
    run: TurnInput, store_database: str, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = await run("serve", store_database, session_port=port)
    assert ended.code == 1
    assert "address already in use" in caplog.text


async def test_sigterm_finishes_what_was_asked_and_ends_with_code_0(
    store_database: str, pool: Pool
) -> None:
    async with session_process(store_database) as served:
        session_id = (await served.start())["id"]
        lock = await asyncpg.connect(store_database)
        transaction = lock.transaction()
        await transaction.start()
        await lock.execute("LOCK sessions")
        asked = asyncio.create_task(served.submit(session_id))
        await _until_waiting(pool)
        ending = asyncio.create_task(served.terminate())
        await transaction.rollback()
        await lock.close()
        assert (await asked)["status"] == "running"
        ended = await ending
        assert ended.code == 0


async def _until_waiting(pool: Pool) -> None:
    waiting = """
        SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()
            AND application_name = 'parley-session' AND wait_event_type = 'Lock')
    """
    await eventually(lambda: pool.fetchval(waiting))

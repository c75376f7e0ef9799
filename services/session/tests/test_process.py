"""The command line: `python -m parley_session migrate | create-topic | serve`."""

import asyncio
import socket

import asyncpg
import pytest
from session_support.process import Run, session_process
from session_support.service import MASTER_KEY, NO_KAFKA

from parley_core.log import Brokers, ensure_topic
from parley_core.storage.migrations import load_migrations
from parley_core.storage.postgres_pool import Pool
from parley_events.topics import SESSIONS_TOPIC, TopicSpec
from parley_session.storage.migrations import MIGRATIONS
from parley_testing.eventually import eventually

TOPIC = {"session_topic_partitions": 2, "session_topic_replication": 1, "session_topic_min_isr": 1}
NO_DATABASE = "postgresql://parley:hunter2@127.0.0.1:1/parley_session"
SECRETS = (MASTER_KEY, "hunter2")


@pytest.mark.parametrize(
    ("command", "wrong", "sentence"),
    [
        ("serve", {"session_database_url": ""}, "PARLEY_SESSION_DATABASE_URL is not set."),
        ("serve", {"kafka_bootstrap_servers": ""}, "PARLEY_KAFKA_BOOTSTRAP_SERVERS is not set."),
        ("serve", {"service_keys": "hunter2"}, "PARLEY_SERVICE_KEYS is wrong: it should be"),
        ("serve", {"master_key": "k1:hunter2"}, "PARLEY_MASTER_KEY should look like"),
        ("serve", {"session_default_model": ""}, "PARLEY_SESSION_DEFAULT_MODEL is not set."),
        (
            "serve",
            {"session_retention_policy_path": "/nowhere.yaml"},
            "PARLEY_SESSION_RETENTION_POLICY_PATH is wrong: it cannot be read",
        ),
        (
            "migrate",
            {"session_assistants_path": "/nowhere.yaml"},
            "PARLEY_SESSION_ASSISTANTS_PATH is wrong: it cannot be read",
        ),
        (
            "migrate",
            {"session_database_url": "postgresql://u:hunter2#@127.0.0.1/db"},
            "PARLEY_SESSION_DATABASE_URL is wrong: it should be a URL such as",
        ),
        (
            "create-topic",
            {"session_topic_partitions": "many"},
            "PARLEY_SESSION_TOPIC_PARTITIONS is wrong.",
        ),
    ],
)
async def test_invalid_settings_end_with_exit_code_2_and_a_sentence(
    run: Run, command: str, wrong: dict[str, str], sentence: str
) -> None:
    ended = await run(command, NO_DATABASE, **wrong)
    assert ended.code == 2
    assert ended.stderr.startswith(sentence)
    assert not any(secret in ended.stderr for secret in SECRETS)


async def test_an_unknown_command_ends_with_exit_code_2(run: Run) -> None:
    ended = await run("sweep", NO_DATABASE)
    assert ended.code == 2
    assert "migrate" in ended.stderr


async def test_migrate_applies_and_reports_migrations(run: Run, database: str) -> None:
    first = await run("migrate", database)
    assert first.code == 0
    applied = [f"applied {each.number:04} {each.name}\n" for each in load_migrations(MIGRATIONS)]
    assert first.stdout == "".join(applied) + "seeded 3 assistants\n"
    again = await run("migrate", database)
    assert (again.code, again.stdout, again.stderr) == (0, "", "")


@pytest.mark.parametrize(
    "command",
    [
        *("serve", "erase-user --user ada --yes", "append-simulated /nowhere.ndjson"),
        *("keys status", "recount-costs --dry-run"),
    ],
)
async def test_a_command_on_an_unmigrated_database_ends_with_exit_code_1(
    run: Run, database: str, command: str
) -> None:
    ended = await run(command, database, migration_wait_seconds=0.01)
    assert ended.code == 1
    assert ended.stderr.endswith("The database is empty. Run the `migrate` command first.\n")


async def test_serving_a_database_of_a_later_version_ends_with_exit_code_1(
    run: Run, store_database: str, pool: Pool
) -> None:
    await pool.execute("INSERT INTO schema_migrations VALUES (99, 'later', 'x')")
    try:
        ended = await run("serve", store_database)
    finally:
        await pool.execute("DELETE FROM schema_migrations WHERE number = 99")
    assert ended.code == 1
    assert "The database has migration 99, with which this version does not work" in ended.stderr


async def test_an_unavailable_database_ends_a_command_with_exit_code_1(run: Run) -> None:
    ended = await run("migrate", NO_DATABASE)
    assert ended.code == 1
    assert ended.stderr.startswith("The event store is unavailable: ")
    assert len(ended.stderr.splitlines()) == 1
    assert not any(secret in ended.stderr for secret in SECRETS)


async def test_create_topic_creates_or_checks_the_topics(
    run: Run, kafka_bootstrap: str, topic: str
) -> None:
    topics = {
        "session_topic_sessions": topic,
        "session_topic_assistants": f"{topic}.assistants",
        "session_topic_api_keys": f"{topic}.api-keys",
        "session_topic_audit": f"{topic}.audit",
    }
    for _ in range(2):
        ended = await run(
            "create-topic", "", kafka_bootstrap_servers=kafka_bootstrap, **topics, **TOPIC
        )
        assert (ended.code, ended.stderr) == (0, "")
        assert ended.stdout == (
            f"{topic} is ready; partitions: 2\n{topic}.assistants is ready; partitions: 1\n"
            f"{topic}.api-keys is ready; partitions: 1\n{topic}.audit is ready; partitions: 1\n"
        )


async def test_a_topic_with_other_settings_ends_with_exit_code_1(
    run: Run, kafka_bootstrap: str, topic: str
) -> None:
    await ensure_topic(Brokers(kafka_bootstrap), TopicSpec(topic, 3, 1, 1))
    ended = await run(
        "create-topic",
        "",
        kafka_bootstrap_servers=kafka_bootstrap,
        session_topic_sessions=topic,
        **TOPIC,
    )
    assert (ended.code, ended.stderr) == (
        1,
        f"The topic {topic} exists with other settings: partitions is 3 and must be 2.\n",
    )


async def test_an_unavailable_log_ends_with_exit_code_1(run: Run) -> None:
    ended = await run("create-topic", "", kafka_bootstrap_servers=NO_KAFKA, **TOPIC)
    assert ended.code == 1
    assert f"The topic {SESSIONS_TOPIC} could not be prepared" in ended.stderr


async def test_a_port_in_use_ends_with_exit_code_1(run: Run, store_database: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = await run("serve", store_database, session_port=port)
    assert ended.code == 1
    assert "address already in use" in ended.stderr.lower()


async def test_sigterm_finishes_requests_and_ends_with_exit_code_0(
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

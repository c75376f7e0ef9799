"""The commands `python -m parley_history migrate | project | serve`, run as processes."""

import asyncio
import contextlib
import random
import signal
from typing import Any
from uuid import uuid4

import aiohttp
import asyncpg
import pytest
from history_testing.history import authorization
from history_testing.log import relay_to
from history_testing.processes import projector_environment, stderr_at_exit
from history_testing.read_model import ReadModelTables, folded
from history_testing.stories import ADA, chat, mixed

from parley_cli.engines import free_port
from parley_core.log import Brokers, ensure_topic
from parley_core.storage.migrations import load_migrations
from parley_events.topics import TopicSpec
from parley_history.__main__ import main
from parley_history.storage.migrations import MIGRATIONS, migrate_history
from parley_testing.eventually import eventually
from parley_testing.peers import key_variables
from parley_testing.processes import started

VALID = {
    "PARLEY_HISTORY_DATABASE_URL": "postgresql://127.0.0.1:9/none",
    "PARLEY_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9",
    **key_variables("history"),
    "PARLEY_SESSION_URL": "http://127.0.0.1:9",
}


def run(monkeypatch: pytest.MonkeyPatch, command: str, **environment: Any) -> Any:
    """Return the exit code of a command."""
    for variable, value in (VALID | environment).items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setattr("sys.argv", ["parley_history", command])
    return main()


@pytest.mark.parametrize(
    ("command", "wrong", "sentence"),
    [
        ("migrate", {"PARLEY_HISTORY_DATABASE_URL": ""}, "PARLEY_HISTORY_DATABASE_URL is not set."),
        (
            "project",
            {"PARLEY_KAFKA_BOOTSTRAP_SERVERS": ""},
            "PARLEY_KAFKA_BOOTSTRAP_SERVERS is not set.",
        ),
        (
            "project",
            {"PARLEY_HISTORY_PROJECTOR_BATCH_SIZE": "0"},
            "PARLEY_HISTORY_PROJECTOR_BATCH_SIZE is wrong.",
        ),
        (
            "project",
            {"PARLEY_HISTORY_PROJECTOR_MANAGEMENT_PORT": "99999"},
            "PARLEY_HISTORY_PROJECTOR_MANAGEMENT_PORT is wrong.",
        ),
        ("serve", {"PARLEY_SESSION_URL": "localhost"}, "PARLEY_SESSION_URL is wrong."),
        ("serve", {"PARLEY_SIGNING_KEY": "x"}, "PARLEY_SIGNING_KEY is wrong: it should be"),
        ("serve", {"PARLEY_SERVICE_KEYS": "x"}, "PARLEY_SERVICE_KEYS is wrong: it should be"),
        (
            "serve",
            {"PARLEY_HISTORY_DATABASE_URL": "mysql://"},
            "PARLEY_HISTORY_DATABASE_URL is wrong: it",
        ),
    ],
)
def test_invalid_settings_end_a_command_with_code_2_and_a_message(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
    wrong: Any,
    sentence: Any,
) -> None:
    assert run(monkeypatch, command, **wrong) == 2
    assert capsys.readouterr().err.startswith(sentence)


def test_an_unavailable_database_ends_a_command_with_code_1_and_a_message(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "migrate") == 1
    assert capsys.readouterr().err.startswith("Database unavailable: ")


async def test_serve_waits_unready_for_the_migrations_and_then_serves(database: str) -> None:
    port, management = free_port(), free_port()
    process = await started(
        "parley_history",
        "serve",
        **VALID
        | {
            "PARLEY_HISTORY_DATABASE_URL": database,
            "PARLEY_HISTORY_PORT": str(port),
            "PARLEY_HISTORY_MANAGEMENT_PORT": str(management),
        },
    )
    probes = f"http://127.0.0.1:{management}"
    waiting = (503, {"status": "starting", "missing": ["migrations"]})

    async def waits() -> Any:
        return await get(f"{probes}/startupz") == waiting

    await eventually(waits)
    assert await get(f"{probes}/readyz") == waiting
    assert await get(f"{probes}/livez") == (200, {"status": "ok"})
    assert await get(f"http://127.0.0.1:{port}/livez") is None

    connection = await asyncpg.connect(database)
    await migrate_history(connection)
    await connection.close()

    async def is_ready() -> Any:
        return await get(f"{probes}/readyz") == (200, {"status": "ok"})

    await eventually(is_ready)
    await stderr_at_exit(process, signal.SIGTERM)
    assert process.returncode == 0


async def test_a_start_that_waits_longer_than_it_may_for_migrations_fails(database: str) -> None:
    process = await started(
        "parley_history",
        "serve",
        **VALID
        | {
            "PARLEY_HISTORY_DATABASE_URL": database,
            "PARLEY_HISTORY_PORT": str(free_port()),
            "PARLEY_MIGRATION_WAIT_SECONDS": "0.1",
        },
    )
    assert "Run the `migrate` command first" in await stderr_at_exit(process)
    assert process.returncode == 1


def test_migrate_applies_each_migration_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], database: str
) -> None:
    applied = [f"applied {m.number:04} {m.name}\n" for m in load_migrations(MIGRATIONS)]
    for output in ("".join(applied), ""):
        assert run(monkeypatch, "migrate", PARLEY_HISTORY_DATABASE_URL=database) == 0
        assert capsys.readouterr().out == output


async def test_a_projector_waits_for_a_missing_topic(
    tables: ReadModelTables, kafka_bootstrap: str, topic: str
) -> None:
    environment = projector_environment(tables, kafka_bootstrap, topic)
    url = f"http://127.0.0.1:{environment['PARLEY_HISTORY_PROJECTOR_MANAGEMENT_PORT']}"
    process = await started("parley_history", "project", **environment)

    async def kafka_is(status: str) -> bool:
        answer = await get(f"{url}/status")
        return bool(answer and answer[1]["dependencies"]["kafka"]["status"] == status)

    await eventually(lambda: kafka_is("unavailable"))
    await ensure_topic(Brokers(kafka_bootstrap), TopicSpec(topic, 1, 1, 1))

    async def ready() -> Any:
        return await get(f"{url}/readyz") == (200, {"status": "ok"})

    await eventually(ready)
    await stderr_at_exit(process, signal.SIGTERM)
    assert process.returncode == 0


async def test_a_repeatedly_killed_projector_leaves_no_gap_and_no_duplicate(
    tables: ReadModelTables, kafka_bootstrap: str, log_topic: str
) -> None:
    chance = random.Random(5)
    stories = [chat(25) for _ in range(100)]
    records = mixed(stories, chance)
    assert len(records) == 8_000

    async def applied() -> Any:
        return await tables.connection.fetchval("SELECT coalesce(sum(next), 0) FROM positions")

    async with relay_to(kafka_bootstrap, log_topic) as relay:
        await relay.publish(records[:6_000])
        publishing = asyncio.create_task(relay.publish(records[6_000:]))
        for killed_at in (1, 1_500, 3_500):
            # A new group each time, because the killed process is still a member of its own.
            environment = projector_environment(
                tables,
                kafka_bootstrap,
                log_topic,
                PARLEY_HISTORY_PROJECTOR_CONSUMER_GROUP=f"{uuid4()}",
                PARLEY_HISTORY_PROJECTOR_BATCH_SIZE="50",
            )
            process = await started("parley_history", "project", **environment)

            async def reached(target: Any = killed_at) -> Any:
                return await applied() >= target

            await eventually(reached, within=45)
            process.kill()
            await process.communicate()
            assert await applied() < len(records), "killed too late to prove anything"
        await publishing
        last = await started(
            "parley_history",
            "project",
            **environment | {"PARLEY_HISTORY_PROJECTOR_CONSUMER_GROUP": f"{uuid4()}"},
        )

        async def all_applied() -> Any:
            return await applied() == len(records)

        await eventually(all_applied, within=45)
    assert await tables.rows() == folded(*stories)
    assert await tables.dead_letters() == []
    await stderr_at_exit(last, signal.SIGTERM)
    assert last.returncode == 0


async def get(url: str) -> Any:
    with contextlib.suppress(aiohttp.ClientError):
        async with aiohttp.ClientSession() as http, http.get(url) as response:
            return response.status, await response.json()


async def test_a_projector_reports_its_health_and_exits_in_time_on_sigterm(
    tables: ReadModelTables, kafka_bootstrap: str, log_topic: str
) -> None:
    environment = projector_environment(tables, kafka_bootstrap, log_topic)
    url = f"http://127.0.0.1:{environment['PARLEY_HISTORY_PROJECTOR_MANAGEMENT_PORT']}"
    process = await started("parley_history", "project", **environment)

    async def ready() -> Any:
        return await get(f"{url}/readyz") == (200, {"status": "ok"})

    await eventually(ready)
    assert await get(f"{url}/livez") == (200, {"status": "ok"})
    async with asyncio.timeout(15):
        await stderr_at_exit(process, signal.SIGTERM)
    assert process.returncode == 0


async def test_serve_reports_its_health_and_exits_in_time_on_sigterm(
    tables: ReadModelTables,
) -> None:
    port = free_port()
    process = await started(
        "parley_history",
        "serve",
        **VALID
        | {"PARLEY_HISTORY_DATABASE_URL": tables.reader_dsn, "PARLEY_HISTORY_PORT": str(port)},
    )

    async def ready() -> Any:
        return await get(f"http://127.0.0.1:{port}/readyz") == (200, {"status": "ok"})

    await eventually(ready)
    # Only the start depends on it: a later version may have migrated the database since.
    await tables.connection.execute("UPDATE schema_migrations SET sha256 = 'other'")
    assert await get(f"http://127.0.0.1:{port}/readyz") == (200, {"status": "ok"})
    assert await get(f"http://127.0.0.1:{port}/livez") == (200, {"status": "ok"})
    url = f"http://127.0.0.1:{port}/changes"
    async with (
        asyncio.timeout(15),
        aiohttp.request("GET", url, headers=authorization(ADA)) as following,
    ):
        await following.content.readline()
        process.send_signal(signal.SIGTERM)
        # The stream ends by itself instead of being cut off after the drain.
        await following.read()
        await stderr_at_exit(process)
    assert process.returncode == 0

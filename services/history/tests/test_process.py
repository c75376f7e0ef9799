"""The commands as they are run: `python -m parley_history migrate | project | serve`."""

import asyncio
import contextlib
import random
import signal
from uuid import uuid4

import aiohttp
import pytest
from history_peers.history import authorized
from history_peers.log import relay_to
from history_peers.processes import ended, projector_environment
from history_peers.read_model import folded
from history_peers.stories import ADA, chat, mixed

from parley_cli.engines import free_port
from parley_core.storage.migrations import load_migrations
from parley_history.__main__ import main
from parley_history.storage.migrations import MIGRATIONS
from parley_testing.eventually import eventually
from parley_testing.peers import SECRET
from parley_testing.processes import started

RIGHT = {
    "PARLEY_HISTORY_DATABASE": "postgresql://127.0.0.1:9/none",
    "PARLEY_KAFKA": "127.0.0.1:9",
    "PARLEY_INTERNAL_SECRET": SECRET,
    "PARLEY_SESSION_URL": "http://127.0.0.1:9",
}


def run(monkeypatch, command, **environment):
    """The code that a command ends with."""
    for variable, value in (RIGHT | environment).items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setattr("sys.argv", ["parley_history", command])
    return main()


@pytest.mark.parametrize(
    ("command", "wrong", "sentence"),
    [
        ("migrate", {"PARLEY_HISTORY_DATABASE": ""}, "PARLEY_HISTORY_DATABASE is not set."),
        ("project", {"PARLEY_KAFKA": ""}, "PARLEY_KAFKA is not set."),
        ("project", {"PARLEY_PROJECTOR_RECORDS": "0"}, "PARLEY_PROJECTOR_RECORDS is wrong."),
        ("project", {"PARLEY_PROJECTOR_PORT": "99999"}, "PARLEY_PROJECTOR_PORT is wrong."),
        ("serve", {"PARLEY_SESSION_URL": "localhost"}, "PARLEY_SESSION_URL is wrong."),
        ("serve", {"PARLEY_INTERNAL_SECRET": "x"}, "PARLEY_INTERNAL_SECRET should be at least 32"),
        ("serve", {"PARLEY_HISTORY_KEY_SECONDS": "31"}, "PARLEY_HISTORY_KEY_SECONDS is wrong."),
        (
            "serve",
            {"PARLEY_HISTORY_DATABASE": "mysql://"},
            "PARLEY_HISTORY_DATABASE is wrong: it",
        ),
    ],
)
def test_wrong_settings_end_a_command_with_code_2_and_a_sentence(
    monkeypatch, capsys, command, wrong, sentence
):
    assert run(monkeypatch, command, **wrong) == 2
    assert capsys.readouterr().err.startswith(sentence)


@pytest.mark.parametrize("command", ["migrate", "project", "serve"])
def test_a_database_that_is_away_ends_a_command_with_code_1_and_a_sentence(
    monkeypatch, capsys, command
):
    assert run(monkeypatch, command) == 1
    assert capsys.readouterr().err.startswith("The read model cannot be used: ")


@pytest.mark.parametrize("command", ["project", "serve"])
def test_a_database_that_is_not_migrated_ends_the_start_with_a_sentence(
    monkeypatch, capsys, database, command
):
    assert run(monkeypatch, command, PARLEY_HISTORY_DATABASE=database) == 1
    assert "run the `migrate` command first" in capsys.readouterr().err


def test_migrate_brings_an_empty_database_to_this_version_once(monkeypatch, capsys, database):
    applied = [f"applied {m.number:04} {m.name}\n" for m in load_migrations(MIGRATIONS)]
    for output in ("".join(applied), ""):
        assert run(monkeypatch, "migrate", PARLEY_HISTORY_DATABASE=database) == 0
        assert capsys.readouterr().out == output


async def test_a_projector_without_its_topic_ends_with_code_1_and_a_sentence(
    tables, kafka_bootstrap, topic
):
    environment = projector_environment(tables, kafka_bootstrap, topic)
    process = await started(
        "parley_history", "project", **environment | {"PARLEY_PROJECTOR_JOIN_SECONDS": "1"}
    )
    error = await ended(process)
    assert error.splitlines()[-1].endswith("up, and has the topic been made?")
    assert topic in error.splitlines()[-1]
    assert process.returncode == 1


async def test_a_projector_killed_again_and_again_leaves_no_gap_and_no_duplicate(
    tables, kafka_bootstrap, log_topic
):
    chance = random.Random(5)
    stories = [chat(25) for _ in range(100)]
    records = mixed(stories, chance)
    assert len(records) == 8_000

    async def applied():
        return await tables.connection.fetchval("SELECT coalesce(sum(next), 0) FROM positions")

    async with relay_to(kafka_bootstrap, log_topic) as relay:
        await relay.publish(records[:6_000])
        publishing = asyncio.create_task(relay.publish(records[6_000:]))
        for killed_at in (1, 1_500, 3_500):
            # Each of a group of its own: its predecessor is still a member of the last one.
            environment = projector_environment(
                tables,
                kafka_bootstrap,
                log_topic,
                PARLEY_PROJECTOR_GROUP=f"{uuid4()}",
                PARLEY_PROJECTOR_RECORDS="50",
            )
            process = await started("parley_history", "project", **environment)

            async def reached(least=killed_at):
                return await applied() >= least

            await eventually(reached, within=45)
            process.kill()
            await process.communicate()
            assert await applied() < len(records), "killed too late to prove anything"
        await publishing
        last = await started(
            "parley_history",
            "project",
            **environment | {"PARLEY_PROJECTOR_GROUP": f"{uuid4()}"},
        )

        async def all_applied():
            return await applied() == len(records)

        await eventually(all_applied, within=45)
    assert await tables.rows() == folded(*stories)
    assert await tables.dead_letters() == []
    await ended(last, signal.SIGTERM)
    assert last.returncode == 0


async def get(url):
    with contextlib.suppress(aiohttp.ClientError):
        async with aiohttp.ClientSession() as http, http.get(url) as answer:
            return answer.status, await answer.json()


async def test_a_projector_tells_its_health_and_ends_in_time_on_sigterm(
    tables, kafka_bootstrap, log_topic
):
    environment = projector_environment(tables, kafka_bootstrap, log_topic)
    url = f"http://127.0.0.1:{environment['PARLEY_PROJECTOR_PORT']}"
    process = await started("parley_history", "project", **environment)

    async def ready():
        return await get(f"{url}/readyz") == (200, {"status": "ok"})

    await eventually(ready, within=30)
    assert await get(f"{url}/healthz") == (200, {"status": "ok"})
    async with asyncio.timeout(5):
        await ended(process, signal.SIGTERM)
    assert process.returncode == 0


async def test_serve_tells_its_health_and_ends_in_time_on_sigterm(tables):
    port = free_port()
    process = await started(
        "parley_history",
        "serve",
        **RIGHT | {"PARLEY_HISTORY_DATABASE": tables.dsn, "PARLEY_HISTORY_PORT": str(port)},
    )

    async def ready():
        return await get(f"http://127.0.0.1:{port}/readyz") == (200, {"status": "ok"})

    await eventually(ready, within=30)
    await tables.connection.execute("UPDATE schema_migrations SET sha256 = 'other'")
    missing = {"status": "unavailable", "missing": ["migrations of the read model"]}
    assert await get(f"http://127.0.0.1:{port}/readyz") == (503, missing)
    assert await get(f"http://127.0.0.1:{port}/healthz") == (200, {"status": "ok"})
    url = f"http://127.0.0.1:{port}/movements"
    async with (
        asyncio.timeout(5),
        aiohttp.request("GET", url, headers=authorized(ADA)) as following,
    ):
        await following.content.readline()
        process.send_signal(signal.SIGTERM)
        # To its end, and not cut off where the time to drain is over.
        await following.read()
        await ended(process)
    assert process.returncode == 0

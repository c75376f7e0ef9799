"""A rewrap of thousands of keys is killed five times while people chat."""

import asyncio
import base64
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import asyncpg
from session_support.process import variables
from session_support.service import MASTER_KEY, Service, keyring_of

from parley_core.crypto.master_keys import master_key_id_of
from parley_core.crypto.sealing import DataKey
from parley_core.storage.postgres_pool import Pool
from parley_testing.eventually import eventually
from parley_testing.processes import started

OLD = MASTER_KEY
NEW = "k2:" + base64.b64encode(b"n" * 32).decode()
KEYS, KILLS, CLIENTS = 3_000, 5, 2
PAUSE_SECONDS = 0.05


async def test_a_rewrap_that_is_killed_five_times_ends_complete_while_people_chat(
    serve: Any, store_database: str, pool: Pool
) -> None:
    # Sessions that start meanwhile are wrapped by the old master key until this process ends.
    earlier: Service = await serve(master_key=f"{OLD},{NEW}")
    chats = [(await earlier.start())["id"] for _ in range(CLIENTS)]
    session: Service = await serve(master_key=f"{NEW},{OLD}")
    keys = await store_keys(pool)
    turns: list[str] = []
    clients = [asyncio.create_task(chat(session, each, turns)) for each in chats]

    ids = sorted(keys)
    for kill in range(1, KILLS + 1):
        locker = await asyncpg.connect(store_database)
        async with locker.transaction():
            # So that the rewrap is killed in the middle.
            locked = ids[kill * KEYS // (KILLS + 1)]
            await locker.execute("SELECT FROM sessions WHERE id = $1 FOR UPDATE", locked)
            rewrap = await start_rewrap(store_database)
            await until_blocked_by(locker, pool)
            rewrap.kill()
            await rewrap.communicate()
        await locker.close()
    assert await ids_of_master_keys(pool) == {"k1", "k2"}
    last = await start_rewrap(store_database)
    stdout, stderr = await last.communicate()
    assert last.returncode == 0, stderr
    assert b"Every stored key is wrapped by k2." in stdout

    chatted = len(turns)
    await eventually(lambda: has_grown(turns, chatted))
    for client in clients:
        client.cancel()
        with suppress(asyncio.CancelledError):
            await client
    new = keyring_of(NEW)
    rows = await pool.fetch("SELECT id, wrapped_key FROM sessions WHERE id = ANY($1)", ids)
    unwrapped = await new.unwrap_all([(row["wrapped_key"], row["id"]) for row in rows])
    assert dict(zip((row["id"] for row in rows), unwrapped, strict=True)) == keys
    # The old master key is retired.
    after: Service = await serve(master_key=NEW)
    for session_id in chats:
        assert (await after.call("GET", f"/sessions/{session_id}")).status == 200
    assert {(await after.turn(each))["status"] for each in turns[-CLIENTS:]} == {"completed"}


async def chat(session: Service, session_id: str, turns: list[str]) -> None:
    """One turn after the other; `turns` grows with those that are completed."""
    runner = str(uuid4())
    while True:
        turn = await session.submit(session_id)
        assert (await session.claim(turn["id"], runner))["claimed"]
        assert (await session.complete(turn["id"], runner)).status == 200
        turns.append(turn["id"])
        await asyncio.sleep(PAUSE_SECONDS)


async def has_grown(turns: Sequence[str], before: int) -> bool:
    return len(turns) > before + CLIENTS


async def until_blocked_by(locker: "asyncpg.Connection[asyncpg.Record]", pool: Pool) -> None:
    blocked = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE $1 = ANY (pg_blocking_pids(pid)))"
    await eventually(lambda: pool.fetchval(blocked, locker.get_server_pid()), within=60)


async def start_rewrap(database: str) -> asyncio.subprocess.Process:
    given = variables(database, master_key=f"{NEW},{OLD}")
    return await started("parley_session", "keys", "rewrap", "--to", "k2", **given)


async def ids_of_master_keys(pool: Pool) -> set[str]:
    rows = await pool.fetch("SELECT wrapped_key FROM sessions WHERE wrapped_key IS NOT NULL")
    return {master_key_id_of(row["wrapped_key"]) for row in rows}


async def store_keys(pool: Pool) -> dict[UUID, DataKey]:
    """Sessions without events; their keys, wrapped by the old master key."""
    keys, now = {uuid4(): DataKey.generate() for _ in range(KEYS)}, datetime.now(UTC)
    wrapped = await keyring_of(OLD).wrap_all([(key, each) for each, key in keys.items()])
    rows = [
        (session_id, "default", "eve", "helper", 1, now, key)
        for session_id, key in zip(keys, wrapped, strict=True)
    ]
    columns = ["id", "tenant", "owner", "assistant_id", "version", "updated_at", "wrapped_key"]
    async with pool.acquire() as connection:
        await connection.copy_records_to_table("sessions", records=rows, columns=columns)
    return keys

"""`keys status`, `rewrap` and `rotate`: stored keys are moved from one master key to another."""

import asyncio
import base64
import io
import json
import re
from collections.abc import Callable, Coroutine, Mapping
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from session_support.appending import CALLER, append_turns, start
from session_support.client import ADA, EVE
from session_support.components import Components, until_blocked
from session_support.process import Ended, Run
from session_support.service import MASTER_KEY, keyring_of

from parley_core.auth.caller import Caller
from parley_core.crypto.master_keys import MasterKeys, master_key_id_of
from parley_core.crypto.sealing import DataKey
from parley_core.storage.postgres_pool import Pool
from parley_session.operations.master_keys.rewrap import Rewrap, RewrapAlreadyRunning, RewrapResult
from parley_session.storage.event_store import EventStore
from parley_session.storage.keys.installation_key import InstallationKey
from parley_session.storage.keys.search_keys import SearchKeys
from parley_session.storage.keys.wrapped_key_counts import require_master_keys

OLD = MASTER_KEY
NEW = "k2:" + base64.b64encode(b"n" * 32).decode()
ACTIVE_OLD, ACTIVE_NEW = f"{OLD},{NEW}", f"{NEW},{OLD}"
WRAPPED = """
SELECT wrapped_key FROM sessions WHERE wrapped_key IS NOT NULL
UNION ALL SELECT wrapped_key FROM search_keys UNION ALL SELECT wrapped_key FROM installation_key
"""

Keys = Callable[..., Coroutine[Any, Any, Ended]]


@pytest.fixture
def keys(run: Run, runtime_database: str) -> Keys:
    """Runs `keys …` with the given master keys."""

    async def keys(command: str, master_key: str) -> Ended:
        return await run(f"keys {command}", runtime_database, master_key=master_key)

    return keys


async def stored_ids(pool: Pool) -> Mapping[str, int]:
    """The number of stored keys by the id of the master key that wraps them."""
    found = [master_key_id_of(row["wrapped_key"]) for row in await pool.fetch(WRAPPED)]
    return {key_id: found.count(key_id) for key_id in found}


async def every_kind_of_key(pool: Pool, components: Components) -> list[UUID]:
    """Two sessions, two search keys and the installation key, wrapped by the old master key."""
    master_keys = keyring_of(OLD)
    sessions = [await append_turns(components, 1), (await start(components.store)).session.id]
    await start(components.store, Caller(EVE, "req-1"))
    await SearchKeys(pool, master_keys).get_or_create([ADA, EVE])
    await InstallationKey(pool, master_keys).get()
    return sessions


async def test_the_status_counts_keys_by_master_key_and_names_those_that_may_be_retired(
    keys: Keys, components: Components, pool: Pool
) -> None:
    await every_kind_of_key(pool, components)
    lines = [line.split()[:3] for line in (await keys("status", ACTIVE_NEW)).stdout.splitlines()]
    assert lines[1:] == [["k2", "0", "active:"], ["k1", "6", "in"]]
    shown = await keys("status", ACTIVE_OLD)
    assert shown.code == 0
    assert [line.split()[:4] for line in shown.stdout.splitlines()[1:]] == [
        ["k1", "6", "active:", "wraps"],
        ["k2", "0", "may", "be"],
    ]


async def test_the_status_fails_if_keys_cannot_be_unwrapped(
    keys: Keys, components: Components, pool: Pool
) -> None:
    await start(components.store)
    missing = await keys("status", NEW)
    assert (missing.code, missing.stdout.splitlines()[-1].split()[:3]) == (
        1,
        ["k1", "1", "missing"],
    )


@pytest.mark.parametrize("stored", [b"\1", b"\1\xff", b"\1ffff", b"\2\2k1" + bytes(60)])
async def test_a_damaged_key_is_counted_and_keeps_no_process_from_starting(
    keys: Keys, components: Components, pool: Pool, stored: bytes
) -> None:
    await start(components.store)
    await pool.execute("UPDATE sessions SET wrapped_key = $1", stored)
    damaged = await keys("status", OLD)
    assert (damaged.code, damaged.stdout.splitlines()[-1].split()[:2]) == (1, ["?", "1"])
    async with pool.acquire() as connection:
        await require_master_keys(connection, MasterKeys.parse(OLD))  # type: ignore[arg-type]


async def test_a_rewrap_moves_every_kind_of_key_and_the_old_one_can_be_retired(
    keys: Keys, components: Components, pool: Pool
) -> None:
    sessions = await every_kind_of_key(pool, components)
    old, new = keyring_of(OLD), keyring_of(NEW)
    before = await EventStore(pool, old, max_cache_bytes=1).data_keys(sessions)
    search = await SearchKeys(pool, old).get_or_create([ADA, EVE])
    installation = await InstallationKey(pool, old).get()

    tried = await keys("rewrap --to k2 --dry-run", ACTIVE_NEW)
    assert (tried.code, tried.stderr) == (0, "")
    assert tried.stdout == "Would rewrap 6 keys with k2 of k1 (6 keys).\n"
    assert await stored_ids(pool) == {"k1": 6}

    done = await keys("rewrap --to k2", ACTIVE_NEW)
    assert (done.code, done.stderr) == (0, "")
    assert done.stdout.startswith("Rewrapped 6 keys with k2 of k1 (6 keys)")
    assert await stored_ids(pool) == {"k2": 6}
    assert await EventStore(pool, new, max_cache_bytes=1).data_keys(sessions) == before
    assert await SearchKeys(pool, new).get_or_create([ADA, EVE]) == search
    assert await InstallationKey(pool, new).get() == installation

    recorded = await pool.fetch("SELECT action, data ->> 'objects' AS key FROM audit_records")
    assert [(row["action"], json.loads(row["key"])) for row in recorded] == [
        ("master_keys.rewrapped", [{"kind": "master_key", "id": "k2"}])
    ]
    again = await keys("rewrap --to k2", NEW)
    assert (again.code, again.stdout[:17]) == (0, "Rewrapped 0 keys ")


@pytest.mark.parametrize("to", ["k2", "k3"])
async def test_only_the_active_master_key_can_be_rewrapped_to(
    keys: Keys, components: Components, pool: Pool, to: str
) -> None:
    await start(components.store)
    ended = await keys(f"rewrap --to {to}", ACTIVE_OLD)
    assert (ended.code, to in ended.stderr) == (2, True)
    assert await stored_ids(pool) == {"k1": 1}


async def test_keys_that_cannot_be_unwrapped_are_reported_and_left(
    keys: Keys, components: Components, pool: Pool
) -> None:
    lost, damaged, wrong, _ = [(await start(components.store)).session.id for _ in range(4)]
    replace = "UPDATE sessions SET wrapped_key = $2 WHERE id = $1"
    other = keyring_of(NEW.replace("k2:", "k3:"))
    await pool.execute(replace, lost, await other.wrap(DataKey.generate(), lost))
    await pool.execute(replace, damaged, b"\1")
    # Wrapped for another session.
    await pool.execute(replace, wrong, await keyring_of(OLD).wrap(DataKey.generate(), lost))
    ended = await keys("rewrap --to k2", ACTIVE_NEW)
    assert ended.code == 1
    assert ended.stdout.startswith("Rewrapped 1 keys ")
    assert "k3 (1 key)" in ended.stderr
    assert f"sessions {damaged}" in ended.stderr
    assert f"sessions {wrong}" in ended.stderr


async def test_a_key_that_an_erasure_destroys_meanwhile_stays_destroyed(
    keys: Keys, components: Components, pool: Pool, store_database: str
) -> None:
    session_id = (await start(components.store)).session.id
    eraser = await asyncpg.connect(store_database)
    async with eraser.transaction():
        await eraser.execute("UPDATE sessions SET wrapped_key = NULL WHERE id = $1", session_id)
        rewrapping = asyncio.create_task(keys("rewrap --to k2", ACTIVE_NEW))
        await until_blocked(pool)
    await eraser.close()
    assert (await rewrapping).code == 0
    assert await pool.fetchval("SELECT wrapped_key FROM sessions") is None


async def test_keys_that_a_process_wraps_with_the_old_master_key_meanwhile_are_reported(
    keys: Keys, components: Components, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    await start(components.store)

    run_once = Rewrap.run

    wrapped = await keyring_of(OLD).wrap(DataKey.generate(), uuid4())

    async def run(rewrap: Rewrap) -> RewrapResult:
        connection = rewrap._connection
        result = await run_once(rewrap)
        await connection.execute("UPDATE sessions SET wrapped_key = $1", wrapped)
        return result

    monkeypatch.setattr(Rewrap, "run", run)
    ended = await keys("rewrap --to k2", ACTIVE_NEW)
    assert (ended.code, "k1 (1 key)" in ended.stderr) == (1, True)


async def test_only_one_process_rewraps_at_a_time(
    store_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("parley_session.operations.master_keys.rewrap._LOCK_ATTEMPTS", 1)
    first, second = [await asyncpg.connect(store_database) for _ in range(2)]
    try:
        await Rewrap(first, keyring_of(NEW)).run()
        with pytest.raises(RewrapAlreadyRunning):
            await Rewrap(second, keyring_of(NEW)).run()
    finally:
        await first.close()
        await second.close()


async def test_rotate_says_the_next_step_until_the_old_master_key_is_gone(
    keys: Keys, components: Components, pool: Pool
) -> None:
    await every_kind_of_key(pool, components)
    first = await keys("rotate", OLD)
    assert (first.code, "openssl rand -base64 32" in first.stdout) == (0, True)
    second = await keys("rotate", ACTIVE_OLD)
    assert (second.code, "put it first" in second.stdout) == (0, True)
    unconfirmed = await keys("rotate", ACTIVE_NEW)
    assert (unconfirmed.code, "--yes" in unconfirmed.stderr) == (1, True)
    assert await stored_ids(pool) == {"k1": 6}
    third = await keys("rotate --yes", ACTIVE_NEW)
    assert (third.code, "These master keys wrap none: k1." in third.stdout) == (0, True)
    assert await stored_ids(pool) == {"k2": 6}
    assert (await keys("rotate", NEW)).stdout.startswith("Every stored key is wrapped by k2, the")


async def test_rotate_prompts_on_a_terminal(
    keys: Keys, components: Components, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Typed(io.StringIO):
        def isatty(self) -> bool:
            return True

    await start(components.store, CALLER)
    for typed, expected in (("no\n", "k1"), ("yes\n", "k2")):
        monkeypatch.setattr("sys.stdin", Typed(typed))
        await keys("rotate", ACTIVE_NEW)
        assert await stored_ids(pool) == {expected: 1}


async def test_rotate_refuses_to_go_on_without_a_master_key_in_use(
    keys: Keys, components: Components
) -> None:
    await start(components.store)
    ended = await keys("rotate --yes", NEW)
    assert (ended.code, re.search(r"k1 \(1 key\)", ended.stderr) is not None) == (1, True)

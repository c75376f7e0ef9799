"""`backup`, `verify-backup` and `restore`."""

import asyncio
import base64
import json
import stat
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest
from session_support.appending import append_turn, append_turns, execute, start
from session_support.commands import submit_message
from session_support.components import Components, components_on
from session_support.conversation import MOMENT
from session_support.process import Ended, Run, variables
from session_support.serving_completions import serve_completion

from parley_core.auth.caller import Caller
from parley_core.auth.principal import Principal
from parley_core.storage.postgres_pool import Pool, open_pool
from parley_session.application.audit.audit_data import audit_data
from parley_session.domain.revocation import tokens_revoked_event
from parley_session.domain.session.commands import EraseSession
from parley_session.storage.keys.revocation_store import RevocationStore
from parley_testing.eventually import eventually
from parley_testing.processes import started

BackUp = Callable[[], Awaitable[Ended]]
Command = Callable[..., Awaitable[Ended]]

# What COPY has to escape, and JSON too.
ODD = Caller(Principal(tenant="default", user='a "b" \\ \t\n c', scopes=frozenset()), "req-1")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "backup"


@pytest.fixture
def back_up(run: Run, runtime_database: str, folder: Path) -> BackUp:
    return lambda: run(f"backup --to {folder}", runtime_database)


@pytest.fixture
def verify(run: Run, store_database: str, folder: Path) -> Command:
    return lambda **settings: run(f"verify-backup --from {folder}", store_database, **settings)


@pytest.fixture
def restore(run: Run, database: str, folder: Path) -> Command:
    """Restores into a separate, migrated store."""

    async def restore(**settings: str) -> Ended:
        assert (await run("migrate", database)).code == 0
        return await run(f"restore --from {folder}", database, **settings)

    return restore


def files_of(folder: Path) -> dict[str, str]:
    files = json.loads((folder / "manifest.json").read_text())["files"]
    return {file["name"]: file["sha256"] for file in files}


async def test_a_restored_backup_is_one_snapshot_among_concurrent_writes(
    back_up: BackUp,
    verify: Command,
    restore: Command,
    run: Run,
    components: Components,
    pool: Pool,
    database: str,
    folder: Path,
    tmp_path: Path,
) -> None:
    quiet, *session_ids = [await append_turns(components, 20) for _ in range(5)]
    await execute(components.store, await append_turns(components, 2), EraseSession("requested"))
    await start(components.store, ODD)
    await execute(components.store, await append_turns(components, 1), submit_message())
    await serve_completion(pool)
    event = tokens_revoked_event("user", "ada", MOMENT.now + timedelta(days=366), MOMENT, None)
    caller = Caller(Principal(MOMENT.actor.tenant, MOMENT.actor.user), "r")
    audited = audit_data(caller, "tokens.revoked", ("user", "ada"))
    await RevocationStore(pool).revoke(event, audited, max_revocations=1)
    talking = True

    async def talk(session_id: UUID) -> None:
        while talking:
            await append_turn(components, session_id)
            await append_turns(components, 1)

    async with asyncio.TaskGroup() as talks:
        for session_id in session_ids:
            talks.create_task(talk(session_id))
        ended = await back_up()
        talking = False
    assert (ended.code, ended.stderr) == (0, "")
    whole = await verify()
    assert (whole.code, whole.stdout.splitlines()[1:]) == (0, [])
    restored = await restore()
    assert (restored.code, restored.stderr) == (0, "")

    repeated = tmp_path / "again"
    assert (await run(f"backup --to {repeated}", database)).code == 0
    repeated_files, files = files_of(repeated), files_of(folder)
    assert {name for name in files if files[name] != repeated_files[name]} == {
        "audit_chain",
        "audit_outbox",
        "audit_records",
    }
    assert repeated_files.keys() == files.keys()
    await _assert_goes_on(database, quiet)


async def _assert_goes_on(database: str, session_id: UUID) -> None:
    """Checks that sessions accept turns and outbox positions continue."""
    async with open_pool(
        database, max_connections=2, timeout_seconds=10, application_name="test"
    ) as pool:
        last = await pool.fetchval("SELECT max(position) FROM outbox")
        await append_turn(components_on(pool), session_id)
        assert await pool.fetchval("SELECT max(position) FROM outbox") > last


async def test_keys_are_only_in_their_folder_and_files_are_private(
    run: Run, store_database: str, components: Components, pool: Pool, tmp_path: Path
) -> None:
    await append_turns(components, 1)
    store, keys = tmp_path / "deep" / "store", tmp_path / "keys"
    ended = await run(f"backup --to {store} --keys {keys}", store_database)
    assert ended.code == 0
    wrapped = (await pool.fetchval("SELECT wrapped_key FROM sessions")).hex()
    assert {path.name for path in keys.iterdir()} == {
        "installation_key.copy",
        "search_keys.copy",
        "session_keys.copy",
    }
    assert wrapped in (keys / "session_keys.copy").read_text()
    for path in store.iterdir():
        assert wrapped not in path.read_text()
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (*store.iterdir(), *keys.iterdir())}
    assert modes == {0o600}
    assert "runners (the heartbeats of running processes)" in ended.stdout
    assert (await run(f"verify-backup --from {store} --keys {keys}", "")).code == 0
    without = await run(f"verify-backup --from {store}", "")
    assert (without.code, without.stdout.count("cannot be read")) == (1, 3)


async def test_a_killed_backup_is_not_valid(
    verify: Command,
    restore: Command,
    back_up: BackUp,
    components: Components,
    pool: Pool,
    store_database: str,
    folder: Path,
) -> None:
    await append_turns(components, 1)
    async with pool.acquire() as holder, holder.transaction():
        await holder.execute("LOCK TABLE turns IN ACCESS EXCLUSIVE MODE")
        writing = await started(
            "parley_session", "backup", "--to", str(folder), **variables(store_database)
        )
        await eventually((folder / "sessions.copy").exists)
        writing.kill()
        await writing.communicate()
    for ended in (await verify(), await restore()):
        assert (ended.code, ended.stdout) == (1, "")
        assert ended.stderr == (
            f"{folder} is not a complete backup: manifest.json, written last, is missing.\n"
        )
    rejected = await back_up()
    assert (rejected.code, rejected.stderr) == (
        1,
        f"{folder} is not empty: choose a new or an empty folder.\n",
    )


def damages(folder: Path) -> Iterator[Path]:
    """Changes one bit of each file in turn, and restores it afterwards."""
    for path in sorted((*folder.glob("*.copy"), *folder.glob("keys/*.copy"))):
        if written := path.read_bytes():
            flipped = bytearray(written)
            flipped[len(flipped) // 2] ^= 1
            path.write_bytes(flipped)
            yield path
            path.write_bytes(written)


async def test_a_changed_bit_is_reported_and_nothing_is_restored(
    back_up: BackUp,
    verify: Command,
    restore: Command,
    components: Components,
    folder: Path,
    database: str,
) -> None:
    await append_turns(components, 2)
    await back_up()
    damaged = []
    for path in damages(folder):
        damaged.append(path.stem)
        ended = await verify()
        assert (ended.code, ended.stderr) == (1, "")
        assert f"{path} was changed: " in ended.stdout
    assert {"events", "outbox", "sessions", "turns", "session_keys", "assistants"} <= {*damaged}
    path = next(damages(folder))
    assert (await restore()).code == 1
    connection = await asyncpg.connect(database)
    assert await connection.fetchval("SELECT count(*) FROM sessions") == 0
    await connection.close()


async def test_a_backup_of_a_damaged_store_is_reported(
    back_up: BackUp, verify: Command, components: Components, pool: Pool
) -> None:
    lost, orphan, erased, unread, queued, keyless = [
        await append_turns(components, 1) for _ in range(6)
    ]
    await pool.execute("DELETE FROM events WHERE session_id = $1 AND sequence = 4", lost)
    await pool.execute("DELETE FROM sessions WHERE id = $1", orphan)
    await execute(components.store, erased, EraseSession("requested"))
    await pool.execute("UPDATE sessions SET wrapped_key = '\\x02' WHERE id = $1", erased)
    await pool.execute(
        "UPDATE events SET data = '{\"secret\": 1}' WHERE session_id = $1 AND sequence = 2", unread
    )
    await pool.execute("UPDATE outbox SET sequence = 5 WHERE session_id = $1", queued)
    await pool.execute("UPDATE sessions SET wrapped_key = '\\x01' WHERE id = $1", keyless)
    assert (await back_up()).code == 0
    ended = await verify()
    assert ended.code == 1
    lines = {line.strip() for line in ended.stdout.splitlines()}
    assert lines >= {
        f"Session {lost} is at version 4, its events end at 3.",
        f"Session {erased} is erased, but has a key.",
        f"Session {unread} cannot be decoded after event 1: ValidationError.",
        f"Session {queued} has a row in outbox for a missing event.",
        f"Session {keyless} has a key that cannot be unwrapped.",
        *(
            f"Session {orphan} is in {name}, but not in sessions."
            for name in ("events", "outbox", "turns")
        ),
    }
    assert "The backup is invalid: 8 differences; the first ones:" in lines
    assert "secret" not in ended.stdout + ended.stderr


async def test_keys_unwrap_only_with_the_master_key_of_the_store(
    back_up: BackUp, verify: Command, restore: Command, components: Components
) -> None:
    session_id = await append_turns(components, 1)
    await back_up()
    other = "k2:" + base64.b64encode(b"o" * 32).decode()
    for ended in (await verify(master_key=other), await restore(master_key=other)):
        assert ended.code == 1
        assert f"Session {session_id} has a key wrapped by another master key." in ended.stdout
    without = await verify(master_key="")
    assert without.code == 0
    assert "complete" not in without.stdout
    assert "was not checked, because PARLEY_MASTER_KEY is not set" in without.stdout
    assert "complete, and the master key opens its keys" in (await verify()).stdout


async def test_only_an_empty_store_at_the_same_migrations_is_restored_into(
    back_up: BackUp, restore: Command, components: Components, database: str, run: Run, folder: Path
) -> None:
    await append_turns(components, 1)
    await back_up()
    unmigrated = await run(f"restore --from {folder}", database)
    assert (unmigrated.code, unmigrated.stderr[:22]) == (1, "The database is empty.")
    connection = await asyncpg.connect(database)
    assert (await run("migrate", database)).code == 0
    await connection.execute("DELETE FROM assistant_outbox WHERE position = 1")
    served = await restore()
    assert (served.code, served.stderr[:48]) == (
        1,
        "The store is not empty: assistant_events has row",
    )
    await connection.execute("TRUNCATE assistants, assistant_events, assistant_outbox")
    await connection.close()
    assert (await restore()).code == 0
    full = await restore()
    assert (full.code, full.stderr[:23]) == (1, "The store is not empty:")
    manifest = folder / "manifest.json"
    newest = max(json.loads(manifest.read_text())["migrations"].values())
    manifest.write_text(manifest.read_text().replace(newest, "0" * 64))
    older = await restore()
    assert (older.code, older.stderr[:26]) == (1, "The store is at migration ")

"""`erase-user` erases all sessions of a person after a confirmation."""

import io
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from datetime import UTC, datetime, timedelta

import pytest
from session_support.appending import CALLER, append_turns, execute, start
from session_support.client import ADA, EVE, OTHER_ADA
from session_support.commands import submit_message
from session_support.components import Components
from session_support.process import Ended, Run
from session_support.service import MASTER_KEY, keyring_of
from session_support.serving_completions import serve_completion

from parley_core.auth.caller import Caller
from parley_core.auth.principal import Principal
from parley_core.storage.postgres_pool import Pool
from parley_core.storage.redis_circuit_breaker import RedisWithCircuitBreaker
from parley_core.storage.version_cache import CommittedVersion, VersionCache
from parley_events.session import ReplyCancelled, SessionErased
from parley_session.application.api_keys import ApiKeys
from parley_session.application.command_executor import utc_now
from parley_session.domain.api_key_state import ApiKeyDefinition
from parley_session.domain.session.commands import (
    ChangeSession,
    DeleteSession,
    SetArchived,
    SetLegalHold,
)
from parley_session.storage.keys.api_key_store import ApiKeyStore
from parley_session.storage.keys.installation_key import InstallationKey
from parley_session.storage.keys.search_keys import SearchKeys

EraseUser = Callable[..., Awaitable[Ended]]

ADMIN = Caller(Principal("default", "root", frozenset({"admin"})), "req-1")
READABLE = "SELECT tenant, owner FROM sessions WHERE wrapped_key IS NOT NULL ORDER BY 1, 2"


class Typed(io.StringIO):
    """Input typed on a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def erase_user(run: Run, runtime_database: str, redis_url: str) -> EraseUser:
    variables = {"redis_url": redis_url}
    return lambda *options: run(" ".join(["erase-user", *options]), runtime_database, **variables)


async def test_all_sessions_of_a_person_are_erased_in_any_state(
    erase_user: EraseUser, components: Components, pool: Pool
) -> None:
    archived, deleted, answering, _ = [await append_turns(components, 1) for _ in range(4)]
    await execute(components.store, archived, ChangeSession([SetArchived(True)]))
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    await execute(components.store, deleted, DeleteSession(tomorrow))
    await execute(components.store, answering, submit_message())
    completion_id = await serve_completion(pool)
    for other in (EVE, OTHER_ADA):
        await start(components.store, Caller(other, "req-1"))
    await SearchKeys(pool, keyring_of(MASTER_KEY)).get_or_create([ADA, EVE])

    ended = await erase_user("--user", "ada", "--yes")
    assert (ended.code, ended.stderr) == (0, "")
    assert ended.stdout.splitlines() == [
        "User ada of tenant default has 4 sessions.",
        "Erased 4 sessions.",
    ]
    assert [(*row,) for row in await pool.fetch(READABLE)] == [
        ("default", "eve"),
        ("elsewhere", "ada"),
    ]
    assert await pool.fetchval("SELECT string_agg(owner, ' ') FROM search_keys") == "eve"
    queued = "SELECT count(*) FROM outbox JOIN events USING (session_id, sequence) WHERE type = $1"
    assert await pool.fetchval(queued, SessionErased.TYPE) == 4
    assert await pool.fetchval(queued, ReplyCancelled.TYPE) == 1
    # A completion has only ids and counts.
    kept = await pool.fetchval("SELECT count(*) FROM events WHERE session_id = $1", completion_id)
    assert kept == 1
    repeated = await erase_user("--user", "ada")
    assert (repeated.code, repeated.stdout.splitlines()[-1]) == (
        0,
        "Erased 0 sessions.",
    )


async def test_the_erased_sessions_are_gone_for_readers_at_once(
    run: Run, runtime_database: str, redis_url: str, erase_user: EraseUser, components: Components
) -> None:
    session_id = await append_turns(components, 1)
    redis = RedisWithCircuitBreaker(redis_url, timeout_seconds=5, open_seconds=1, max_connections=1)
    async with aclosing(VersionCache(redis)) as versions:
        await versions.publish([CommittedVersion(session_id, 4, gone=False)])
        assert (await erase_user("--user", "ada", "--yes")).stderr == ""
        cached = await versions.read([session_id])
        assert cached is not None
        assert cached.versions == {session_id: None}
    await append_turns(components, 1)
    unpublished = await run("erase-user --user ada --yes", runtime_database)
    assert (unpublished.code, "PARLEY_REDIS_URL" in unpublished.stderr) == (0, True)


async def test_sessions_under_a_legal_hold_are_reported_and_not_erased(
    erase_user: EraseUser, components: Components, pool: Pool
) -> None:
    held, _ = [await append_turns(components, 1) for _ in range(2)]
    await execute(components.store, held, ChangeSession([SetLegalHold(True)]), ADMIN)
    await SearchKeys(pool, keyring_of(MASTER_KEY)).get_or_create([ADA])
    ended = await erase_user("--user", "ada", "--tenant", "default", "--yes")
    assert (ended.code, ended.stdout.splitlines()) == (
        1,
        [
            "User ada of tenant default has 1 sessions, and 1 under a legal hold that cannot be "
            "erased.",
            "Erased 1 sessions.",
        ],
    )
    assert await pool.fetchval("SELECT id FROM sessions WHERE wrapped_key IS NOT NULL") == held
    assert await pool.fetchval("SELECT count(*) FROM search_keys") == 1


@pytest.mark.parametrize(
    ("typed", "left"), [("yes\n", 0), ("no\n", 1), ("", 1), (None, 1)], ids=str
)
async def test_it_prompts_on_a_terminal_and_otherwise_requires_yes(
    typed: str | None,
    left: int,
    erase_user: EraseUser,
    components: Components,
    pool: Pool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await start(components.store, CALLER)
    monkeypatch.setattr("sys.stdin", io.StringIO("yes\n") if typed is None else Typed(typed))
    ended = await erase_user("--user", "ada")
    assert ended.code == left
    assert ("--yes" in ended.stderr) == (typed is None)
    assert len(await pool.fetch(READABLE)) == left


async def test_sessions_are_erased_without_the_master_key_of_their_keys(
    run: Run, runtime_database: str, components: Components, pool: Pool
) -> None:
    await start(components.store, CALLER)
    other = MASTER_KEY.replace("k1:", "k2:")
    ended = await run("erase-user --user ada --yes", runtime_database, master_key=other)
    assert ended.code == 0
    assert await pool.fetch(READABLE) == []
    unset = await run("erase-user --user ada --yes", runtime_database, master_key="")
    assert (unset.code, unset.stderr[:29]) == (2, "PARLEY_MASTER_KEY is not set.")


async def test_the_api_keys_of_the_person_are_revoked_before_the_sessions_are_erased(
    erase_user: EraseUser, components: Components, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("parley_session.operations.erase_user.REVOCATION_SECONDS", 0)
    keys = ApiKeys(ApiKeyStore(pool), InstallationKey(pool, keyring_of(MASTER_KEY)), utc_now)
    definition = ApiKeyDefinition("a private name", [], None, None)
    for who in (ADA, EVE):
        await keys.create(Caller(who, "req-1"), definition, None)
    await start(components.store, CALLER)
    ended = await erase_user("--user", "ada", "--yes")
    assert ended.stdout.splitlines() == [
        "User ada of tenant default has 1 sessions, 1 API keys.",
        "Revoked 1 API keys.",
        "Erased 1 sessions.",
    ]
    assert [key.owner for who in (ADA, EVE) for key in await keys.keys_of(who)] == ["eve"]
    assert await pool.fetchval("SELECT name FROM api_keys WHERE owner = 'ada'") == ""
    revoked = "SELECT count(*) FROM api_key_events WHERE type LIKE '%revoked%'"
    assert await pool.fetchval(revoked) == 1


async def test_the_names_of_keys_that_were_revoked_before_are_deleted(
    erase_user: EraseUser, pool: Pool
) -> None:
    keys = ApiKeys(ApiKeyStore(pool), InstallationKey(pool, keyring_of(MASTER_KEY)), utc_now)
    definition = ApiKeyDefinition("a private name", [], None, None)
    key, _, _ = await keys.create(Caller(ADA, "req-1"), definition, None)
    await keys.revoke(key.id, Caller(ADA, "req-1"))
    ended = await erase_user("--user", "ada", "--yes")
    assert (ended.code, ended.stdout.splitlines()[-1]) == (0, "Erased 0 sessions.")
    assert await pool.fetchval("SELECT name FROM api_keys") == ""

"""`erase-user`: nothing that the person said can be read again, and it asks before."""

import io
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest
from session_peers.appending import ASKER, append_turns, execute, start
from session_peers.client import ADA, EVE, OTHER_ADA
from session_peers.commands import submit_message
from session_peers.parts import Parts, parts_on
from session_peers.process import Ended, TurnInput
from session_peers.service import MASTER_KEY
from session_peers.serving_completions import serve_completion

from parley_core.auth.principal import Principal
from parley_core.crypto.master_keys import MasterKeys
from parley_core.storage.postgres_pool import Pool
from parley_events.session import ReplyCancelled, SessionErased
from parley_session.application.command_executor import Caller
from parley_session.domain.session.commands import (
    ChangeSession,
    DeleteSession,
    SetArchived,
    SetLegalHold,
)
from parley_session.storage.search_keys import SearchKeys

EraseUser = Callable[..., Awaitable[Ended]]

ADMIN = Caller(Principal("default", "root", frozenset({"admin"})), "req-1")
READABLE = "SELECT tenant, owner FROM sessions WHERE wrapped_key IS NOT NULL ORDER BY 1, 2"


class Typed(io.StringIO):
    """What somebody types at a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def parts(pool: Pool) -> Parts:
    return parts_on(pool)


@pytest.fixture
def erase_user(run: TurnInput, store_database: str) -> EraseUser:
    return lambda *options: run(" ".join(["erase-user", *options]), store_database)


async def test_all_of_one_person_is_erased_whatever_state_it_is_in(
    erase_user: EraseUser, parts: Parts, pool: Pool
) -> None:
    archived, deleted, answering, _ = [await append_turns(parts, 1) for _ in range(4)]
    await execute(parts.store, archived, ChangeSession([SetArchived(True)]))
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    await execute(parts.store, deleted, DeleteSession(tomorrow))
    await execute(parts.store, answering, submit_message())
    completion_id = await serve_completion(pool)
    for other in (EVE, OTHER_ADA):
        await start(parts.store, Caller(other, "req-1"))
    await SearchKeys(pool, MasterKeys.parse(MASTER_KEY)).of([ADA, EVE])

    ended = await erase_user("--user", "ada", "--yes")
    assert (ended.code, ended.complained) == (0, "")
    assert ended.said.splitlines() == [
        "ada of tenant default has 4 sessions.",
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
    # What a completion cost is ids and counts.
    kept = await pool.fetchval("SELECT count(*) FROM events WHERE session_id = $1", completion_id)
    assert kept == 1
    again = await erase_user("--user", "ada")
    assert (again.code, again.said.splitlines()[-1]) == (0, "Erased 0 sessions.")


async def test_what_a_legal_hold_keeps_is_told_and_left(
    erase_user: EraseUser, parts: Parts, pool: Pool
) -> None:
    held, _ = [await append_turns(parts, 1) for _ in range(2)]
    await execute(parts.store, held, ChangeSession([SetLegalHold(True)]), ADMIN)
    await SearchKeys(pool, MasterKeys.parse(MASTER_KEY)).of([ADA])
    ended = await erase_user("--user", "ada", "--tenant", "default", "--yes")
    assert (ended.code, ended.said.splitlines()) == (
        1,
        [
            "ada of tenant default has 1 sessions, and 1 more that a legal hold keeps: these are "
            "left.",
            "Erased 1 sessions.",
        ],
    )
    assert await pool.fetchval("SELECT id FROM sessions WHERE wrapped_key IS NOT NULL") == held
    assert await pool.fetchval("SELECT count(*) FROM search_keys") == 1


@pytest.mark.parametrize(
    ("typed", "left"), [("yes\n", 0), ("no\n", 1), ("", 1), (None, 1)], ids=str
)
async def test_it_asks_at_a_terminal_and_does_nothing_where_nobody_can_answer(
    typed: str | None,
    left: int,
    erase_user: EraseUser,
    parts: Parts,
    pool: Pool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await start(parts.store, ASKER)
    monkeypatch.setattr("sys.stdin", io.StringIO("yes\n") if typed is None else Typed(typed))
    ended = await erase_user("--user", "ada")
    assert ended.code == left
    assert ("--yes" in ended.complained) == (typed is None)
    assert len(await pool.fetch(READABLE)) == left


async def test_a_key_of_another_master_key_ends_it_with_a_sentence(
    run: TurnInput, store_database: str, parts: Parts
) -> None:
    await start(parts.store, ASKER)
    other = MASTER_KEY.replace("k1:", "k2:")
    ended = await run("erase-user --user ada --yes", store_database, master_key=other)
    assert ended.code == 1
    assert ended.complained.startswith("Erased 0 sessions, then: session ")
    unset = await run("erase-user --user ada --yes", store_database, master_key="")
    assert (unset.code, unset.complained[:29]) == (2, "PARLEY_MASTER_KEY is not set.")

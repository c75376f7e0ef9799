"""A stored key that no master key of the process unwraps: 503, a metric, and a refused start."""

import asyncio
import base64
import logging
from typing import Any

import pytest
from session_support.client import ADA, HISTORY
from session_support.process import Run
from session_support.service import MASTER_KEY, Service, keyring_of

from parley_core.crypto.master_keys import MasterKeys
from parley_core.storage.postgres_pool import Pool
from parley_session.storage.keys import wrapped_key_counts
from parley_session.storage.keys.search_keys import SearchKeys

OTHER = "k2:" + base64.b64encode(b"n" * 32).decode()
OTHER_OF_SAME_ID = OTHER.replace("k2:", "k1:")
REFUSED = "parley_session_key_unavailable_total"


@pytest.mark.parametrize("master_key", [OTHER, OTHER_OF_SAME_ID], ids=["unknown", "wrong"])
async def test_a_key_that_cannot_be_unwrapped_is_503_counted_and_logged_once(
    serve: Any, pool: Pool, master_key: str, caplog: pytest.LogCaptureFixture
) -> None:
    before: Service = await serve()
    session_id, turn = (await before.start())["id"], await before.open_turn()
    await SearchKeys(pool, keyring_of(MASTER_KEY)).get_or_create([ADA])
    # Makes the installation key, from which its id is derived.
    await before.call("POST", "/sessions", {}, key="first")
    session: Service = await serve(master_key=master_key)
    people = {"people": [{"tenant": ADA.tenant, "user": ADA.user}]}
    given: dict[str, Any] = {"who": HISTORY, "issuer": "history"}
    claim = {"runner": turn["id"]}
    with caplog.at_level(logging.ERROR):
        refused = [
            await session.call("GET", f"/sessions/{session_id}"),
            await session.call("POST", f"/sessions/{session_id}/messages", {"content": "Hello?"}),
            await session.call("POST", "/sessions", {}, key="second"),
            await session.call("POST", f"/turns/{turn['id']}/claim", claim, issuer="inference"),
            await session.call("POST", "/keys", {"session_ids": [session_id]}, **given),
            await session.call("POST", "/search-keys", people, **given),
        ]
    assert {response.error for response in refused} == {(503, "key_unavailable", None)}
    assert {response.headers["retry-after"] for response in refused} == {"10"}
    assert (await session.metrics("k1"))[REFUSED] == len(refused)
    assert [record.name for record in caplog.records].count("parley_session.api.errors") == 1
    # It was refused only because of the key.
    assert (await before.call("GET", f"/sessions/{session_id}")).status == 200


async def test_a_process_reports_its_master_keys_and_which_is_active(serve: Any) -> None:
    session: Service = await serve(master_key=f"{OTHER},{MASTER_KEY}")
    active = "parley_session_master_key_active"
    assert (await session.metrics("k2"))[active] == 1
    assert (await session.metrics("k1"))[active] == 0


async def test_a_start_is_refused_if_a_master_key_is_missing_that_wraps_stored_keys(
    run: Run, serve: Any, store_database: str
) -> None:
    await (await serve()).open_turn()
    ended = await run("serve", store_database, master_key=OTHER)
    assert ended.code == 2
    assert "PARLEY_MASTER_KEY lacks master keys that wrap stored keys: k1 (1 key)." in ended.stderr


async def test_a_start_does_not_wait_for_a_count_that_takes_long(
    pool: Pool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def count(*_: object) -> dict[str, int]:
        await asyncio.sleep(0)
        raise TimeoutError

    monkeypatch.setattr(wrapped_key_counts, "count_wrapped_keys", count)
    async with pool.acquire() as connection:
        await wrapped_key_counts.require_master_keys(connection, MasterKeys.parse(OTHER))  # type: ignore[arg-type]
    assert "counting the wrapped keys takes too long" in caplog.text

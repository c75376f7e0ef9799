"""Search keys, under which history indexes messages."""

import asyncio
import base64
from typing import Any

from session_support.client import ADA, EVE, HISTORY, OTHER_ADA, ApiResponse
from session_support.service import Service

from parley_core.auth.principal import Principal
from parley_core.storage.postgres_pool import Pool


async def keys(session: Service, *people: Principal) -> ApiResponse:
    body: dict[str, Any] = {"people": [{"tenant": p.tenant, "user": p.user} for p in people]}
    return await session.call("POST", "/search-keys", body, who=HISTORY, issuer="history")


async def test_each_person_with_a_session_has_one_key_and_it_stays(
    session: Service, pool: Pool
) -> None:
    await session.start()
    await session.call("POST", "/sessions", {}, who=OTHER_ADA)
    response = await keys(session, ADA, EVE, OTHER_ADA, ADA)
    assert response.status == 200
    found = response.body["keys"]
    assert [(one["tenant"], one["user"]) for one in found] == [
        (principal.tenant, principal.user) for principal in (ADA, EVE, OTHER_ADA, ADA)
    ]
    mine, nobodys, others, repeated = (one["key"] for one in found)
    assert (nobodys, repeated) == (None, mine)
    assert mine != others
    assert len(base64.b64decode(mine)) == 32
    assert (await keys(session, ADA)).body["keys"][0]["key"] == mine
    for row in await pool.fetch("SELECT wrapped_key FROM search_keys"):
        assert base64.b64decode(mine) not in row["wrapped_key"]
        assert base64.b64decode(others) not in row["wrapped_key"]


async def test_concurrent_requests_create_one_search_key(session: Service) -> None:
    await session.start()
    responses = await asyncio.gather(*(keys(session, ADA) for _ in range(8)))
    assert len({response.body["keys"][0]["key"] for response in responses}) == 1


async def test_only_history_gets_search_keys(session: Service) -> None:
    body: dict[str, Any] = {"people": []}
    for issuer in ("gateway", "inference"):
        response = await session.call("POST", "/search-keys", body, issuer=issuer)
        assert response.status == 403
    assert (await keys(session, *[ADA] * 101)).status == 400

"""Pages too large for the cache: clients that do not read them cannot fill the memory."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from uuid import UUID

import pytest
from gateway_fakes.gateway import SESSION_ID, Gateway, another_id
from gateway_fakes.history import History
from gateway_fakes.issuer import token

from parley_gateway.history import large_pages
from parley_testing.eventually import eventually
from parley_testing.session_service import FakeSessionService

# More than the buffers of a connection hold.
TEXT = "A page of 8 MiB. " * (8 * 1024 * 1024 // 17)


async def test_a_person_whose_clients_do_not_read_large_pages_keeps_nobody_else_out(
    start: Callable[..., Awaitable[Gateway]],
    session: FakeSessionService,
    history: History,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(large_pages, "MAX_LARGE_PAGES", 2)
    gateway = await start()
    other_id = another_id()
    history.project(SESSION_ID, 1, TEXT, owner="ada")
    history.project(other_id, 1, TEXT, owner="grace")
    session.versions.update({UUID(str(each)): 1 for each in (SESSION_ID, other_id)})
    host, port = gateway.url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port), limit=1)
    path = f"/v1/history/{SESSION_ID}"
    head = f"GET {path} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token()}\r\n\r\n"
    writer.write(head.encode())

    async def is_refused() -> bool:
        status, body = await gateway.get(path)
        return (status, body.get("error", {}).get("code")) == (429, "too_many_large_pages")

    await eventually(is_refused)
    status, page = await gateway.get(f"/v1/history/{other_id}", bearer=token(sub="grace"))
    assert (status, page["data"]) == (200, [TEXT])
    writer.close()

    async def is_whole() -> bool:
        async with gateway.request("GET", path) as answer:
            return answer.status == 200 and json.loads(await answer.read())["data"] == [TEXT]

    await eventually(is_whole)

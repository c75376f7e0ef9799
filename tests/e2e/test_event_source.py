"""A standard EventSource reads a turn from its `stream_url` across broken connections."""

from pathlib import Path
from uuid import uuid4

import pytest
from e2e_support.flaky_proxy import FlakyProxy
from e2e_support.model_server import paced_text
from e2e_support.node import Node
from e2e_support.stack import Stack
from e2e_support.user import User

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_an_event_source_reconnects_by_itself_and_misses_nothing(
    ada: User, stack: Stack, engine_cache: Path
) -> None:
    node = await Node.with_packages(engine_cache)
    session = await ada.start_session()
    async with (
        ada.stream(session, f"[pace 60] {uuid4()}") as turn,
        # The first cuts hit the response head, the end of the head, and the text.
        FlakyProxy.serve(f"127.0.0.1:{stack.port}", seed=1694, after=range(100, 2500)) as proxy,
    ):
        started = await turn.started()
        result = await node.run("event_source.mjs", STREAM=proxy.url + started["stream_url"])

    assert result["breaks"] >= proxy.cuts >= 3
    assert result["text"] == paced_text(60)
    assert result["end"] == {"type": "reply.completed", "id": "end"}
    assert result["status"] == 204

"""A standard EventSource follows a turn by its `stream_url`, however often the line breaks."""

from pathlib import Path
from uuid import uuid4

import pytest
from stack.cutting_proxy import CuttingProxy
from stack.model_server import paced_text
from stack.node import Node
from stack.parley import Stack
from stack.person import Person

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_an_event_source_comes_back_by_itself_and_misses_nothing(
    ada: Person, stack: Stack, engine_cache: Path
) -> None:
    node = await Node.with_packages(engine_cache)
    session = await ada.start_session()
    async with (
        ada.stream(session, f"[pace 60] {uuid4()}") as turn,
        # The first cuts: in the head of an answer, after it, among the text.
        CuttingProxy.serve(f"127.0.0.1:{stack.port}", seed=1694, after=range(100, 2500)) as proxy,
    ):
        started = await turn.started()
        told = await node.run("event_source.mjs", STREAM=proxy.url + started["stream_url"])

    assert told["breaks"] >= proxy.cuts >= 3
    assert told["text"] == paced_text(60)
    assert told["end"] == {"type": "reply.completed", "id": "end"}
    assert told["status"] == 204

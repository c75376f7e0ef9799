"""Streams as clients read them that split lines, or take an id, in other ways than a browser."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from gateway_fakes.gateway import SESSION_ID, Gateway
from gateway_fakes.inference import Inference, Stalls, deltas
from gateway_fakes.openai_client import completion_request, openai_client, text_and_error

from parley_contracts import turn_sse as sse
from parley_core.streaming.sse import SSEParser
from parley_testing.session_service import FakeSessionService

LINE_ENDS = "".join(f"{end}x" for end in "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029") + "\r\n\n😀"


@pytest.fixture
async def reply(session: FakeSessionService, inference: Inference) -> str:
    cuts = range(0, len(LINE_ENDS), 2)
    texts = [LINE_ENDS[cut : cut + 2] for cut in cuts]
    inference.script(deltas(*texts), lambda: sse.ended(session.end(LINE_ENDS)))
    return LINE_ENDS


def splitlines_events(raw: bytes) -> Iterator[dict[str, str]]:
    """Events as clients parse them that use `str.splitlines`, such as OpenAI's SDK and httpx-sse:
    they keep the last id, and dispatch at a blank line whatever fields came before it.
    """
    fields: dict[str, str] = {}
    for line in raw.decode().splitlines():
        if line:
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
        elif fields:
            yield fields
            fields = {"id": fields.get("id", "")}


def deltas_of(data: Iterable[Any]) -> str:
    return "".join(json.loads(each).get("delta", "") for each in data)


async def test_clients_that_split_lines_as_python_does_lose_no_text(
    gateway: Gateway, reply: str
) -> None:
    async with gateway.stream() as stream:
        await stream.events()
    events = list(splitlines_events(stream.raw))
    assert deltas_of(event["data"] for event in events) == reply
    assert json.loads(events[-1]["data"])["message"]["content"] == reply
    # The parser of the command line.
    assert deltas_of(SSEParser(10_000).feed(stream.raw)) == reply


@pytest.mark.usefixtures("reply")
async def test_no_line_is_an_id_before_the_text_up_to_it(gateway: Gateway) -> None:
    async with gateway.stream() as stream:
        await stream.events()
    text, position = "", 0
    for line in stream.raw.decode().splitlines():
        # Such a client resumes behind `position`, wherever the connection breaks.
        if line.startswith("data: "):
            text += json.loads(line.removeprefix("data: ")).get("delta", "")
        elif line.startswith("id: ") and line != "id: end":
            position = int(line.removeprefix("id: "))
        assert position <= len(text)


async def test_the_openai_sdk_reads_every_line_end(gateway: Gateway, reply: str) -> None:
    async with openai_client(gateway) as client:
        assert await text_and_error(client, **completion_request()) == (reply, None)


async def test_retry_is_sent_once_and_with_an_event(
    gateway: Gateway, session: FakeSessionService, inference: Inference
) -> None:
    inference.script(sse.HEARTBEAT, deltas("Hel"), deltas("lo", after=3), sse.HEARTBEAT)
    inference.script(lambda: sse.ended(session.end("Hello")))
    async with gateway.stream() as stream:
        await stream.events()
    streams = [stream.raw]
    path = f"/v1/turns/{session.turn.id}/stream?starting_after="
    for position in (0, 3, 5):
        async with gateway.request("GET", f"{path}{position}") as response:
            streams.append(await response.read())
    for raw in streams:
        assert raw.count(b"retry: ") == 1
        [first, *_] = (event for event in splitlines_events(raw) if "data" in event)
        assert 100 <= int(first["retry"]) <= 10_000


async def test_retry_comes_with_the_first_event_behind_comments(
    gateway: Gateway, session: FakeSessionService, inference: Inference
) -> None:
    inference.script(Stalls())
    body = {"content": "Hi", "background": True}
    _, turn = await gateway.post(f"/v1/sessions/{SESSION_ID}/messages", body)
    inference.script(sse.HEARTBEAT * 2 + deltas("Hello"), lambda: sse.ended(session.end("Hello")))
    path = f"/v1/turns/{turn['id']}/stream?starting_after=0"
    async with gateway.request("GET", path) as response:
        comments, retry, events = (await response.read()).partition(b"retry: ")
    assert (comments, retry) == (sse.HEARTBEAT * 2, b"retry: ")
    assert events.partition(b"\n")[2] == deltas("Hello") + sse.ended(session.turn)

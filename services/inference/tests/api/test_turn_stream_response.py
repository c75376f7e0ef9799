"""Streams of a turn, from any position and at any time."""

import asyncio
import socket
from contextlib import AsyncExitStack
from uuid import uuid4

import pytest
from inference_fakes.inference import Inference, Start
from inference_fakes.model_server import ModelServer, Stalls, chunk, reply

from parley_contracts import turn_sse as sse
from parley_core.auth.principal import Principal
from parley_inference.api import turn_stream_response
from parley_testing.event_stream import text_of
from parley_testing.eventually import eventually
from parley_testing.session_service import FakeSessionService
from parley_testing.stored_turn import ADA, StoredTurn


async def test_a_turn_streams_as_deltas_and_one_end_event(
    inference: Inference, model_server: ModelServer, session: FakeSessionService
) -> None:
    turn, paused = session.open_turn(), asyncio.Event()
    model_server.script(chunk("Hél"), paused, *reply("lo 😀"))
    async with inference.stream(turn) as stream:
        assert await stream.until_text(3) == "Hél"
        paused.set()
        await stream.events()
    assert stream.response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert stream.response.headers["cache-control"] == "no-store"
    assert stream.response.headers["x-accel-buffering"] == "no"
    assert stream.raw == b"".join(
        (
            sse.delta("Hél", 3),
            sse.delta("lo 😀", 7),
            sse.ended(turn.shape()),
        )
    )


async def test_the_prompt_contains_the_instructions_and_the_window(
    inference: Inference, model_server: ModelServer, session: FakeSessionService
) -> None:
    turn = session.open_turn("How are you?")
    model_server.script(*reply("Fine."))
    await inference.events(turn)
    assert model_server.requests == [
        {
            "model": "demo",
            "messages": [
                {"role": "system", "content": "Be kind."},
                {"role": "user", "content": "How are you?"},
            ],
            "stream": True,
            "stream_options": {"include_usage": True},
        }
    ]


@pytest.mark.parametrize("ended", [False, True], ids=["while it runs", "after its end"])
async def test_a_stream_resumes_at_every_position(
    inference: Inference, model_server: ModelServer, session: FakeSessionService, ended: bool
) -> None:
    text = "a😀é\u0301 b"
    turn, paused = session.open_turn(), asyncio.Event()
    model_server.script(*(chunk(part) for part in text), paused, *reply("!"))
    if ended:
        paused.set()
        await inference.events(turn)
    async with inference.stream(turn) as first:
        await first.until_text(len(text))
        async with AsyncExitStack() as stack:
            streams = [
                await stack.enter_async_context(inference.stream(turn, after))
                for after in range(len(text) + 3)
            ]
            paused.set()
            for after, stream in enumerate(streams):
                *deltas, last = await stream.events()
                assert text_of(deltas) == f"{text}!"[after:]
                assert {event["type"] for event in deltas} <= {"reply.delta"}
                assert (last["id"], last["sequence_number"]) == ("end", len(text) + 1)
    assert len(model_server.requests) == 1


async def test_two_requests_for_one_turn_share_one_request_to_the_model(
    inference: Inference, model_server: ModelServer, session: FakeSessionService
) -> None:
    turn = session.open_turn()
    model_server.script(*reply("once"))
    first, second = await asyncio.gather(inference.events(turn), inference.events(turn))
    assert text_of(first) == text_of(second) == "once"
    assert len(model_server.requests) == len(session.called("claim")) == 1


async def test_a_client_disconnect_does_not_stop_the_reply(
    inference: Inference, model_server: ModelServer, session: FakeSessionService
) -> None:
    turn, paused = session.open_turn(), asyncio.Event()
    model_server.script(chunk("be"), paused, *reply("fore"))
    async with inference.stream(turn) as stream:
        await stream.until_text(2)
    paused.set()
    await eventually(lambda: turn.status == "completed")
    assert turn.reply.content == "before"
    assert text_of(await inference.events(turn, after=1)) == "efore"


async def test_a_slow_subscriber_gets_all_missed_text_in_one_delta(
    inference: Inference, model_server: ModelServer, session: FakeSessionService
) -> None:
    turn, paused = session.open_turn(), asyncio.Event()
    text = "0123456789" * 30_000
    model_server.script(
        chunk("a"), paused, *reply(*(text[at : at + 100] for at in range(0, len(text), 100)))
    )
    async with inference.stream(turn) as slow:
        await slow.until_text(1)
        paused.set()
        assert text_of(await inference.events(turn)) == "a" + text
        assert text_of(await slow.events()) == text


async def test_an_idle_stream_carries_heartbeat_comments(
    inference: Inference,
    model_server: ModelServer,
    session: FakeSessionService,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(turn_stream_response, "HEARTBEAT_SECONDS", 0.02)
    turn, paused = session.open_turn(), asyncio.Event()
    model_server.script(chunk("a"), paused, *reply("b"))
    async with inference.stream(turn) as stream:
        await stream.until_text(1)
        while stream.raw.count(sse.HEARTBEAT) < 3:
            stream.raw += await stream.response.content.readany()
        paused.set()
        assert text_of(await stream.events()) == "b"


async def test_a_client_that_reads_nothing_for_two_heartbeats_is_disconnected(
    start: Start,
    model_server: ModelServer,
    session: FakeSessionService,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(turn_stream_response, "HEARTBEAT_SECONDS", 0.05)
    inference = await start(max_streams=1)
    turn, paused = session.open_turn(), asyncio.Event()
    model_server.script(paused, *(chunk("x" * 65_000) for _ in range(8)), Stalls())
    loop = asyncio.get_running_loop()
    host, port = inference.url.removeprefix("http://").split(":")
    with socket.socket() as never_reads:
        never_reads.setblocking(False)
        never_reads.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await loop.sock_connect(never_reads, (host, int(port)))
        await loop.sock_sendall(never_reads, await raw_request(inference, turn))
        await eventually(lambda: model_server.open)
        assert await inference.error(turn.id) == (503, "inference_busy")
        paused.set()
        await is_admitted(inference, model_server, session.open_turn())


async def is_admitted(inference: Inference, model_server: ModelServer, turn: StoredTurn) -> None:
    """The limit is one stream: another is admitted once the stalled one has ended."""
    model_server.script(*reply("admitted"))

    async def streams() -> bool:
        async with inference.stream(turn) as stream:
            return bool(stream.response.status == 200)

    await eventually(streams)


async def raw_request(inference: Inference, turn: StoredTurn) -> bytes:
    async with inference.request("GET", "/models") as answer:
        token = answer.request_info.headers["authorization"]
    body = b'{"session_id": "%s", "after": 0}' % str(turn.session_id).encode()
    head = (
        f"POST /turns/{turn.id}/stream HTTP/1.1\r\nhost: x\r\nauthorization: {token}\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def test_later_turns_of_a_session_fetch_only_new_messages(
    inference: Inference, model_server: ModelServer, session: FakeSessionService
) -> None:
    first = session.open_turn("one", session_id=uuid4())
    second = session.open_turn("two", session_id=first.session_id)
    window = [{"id": str(uuid4()), "role": "assistant", "content": "uno"}]
    window += [{"id": str(uuid4()), "role": "user", "content": "two"}]
    session.contexts = [{"version": 5}, {"base": 5, "version": 9, "messages": window}]
    for turn, answer in ((first, "uno"), (second, "dos")):
        model_server.script(*reply(answer))
        await inference.events(turn)
    cached = {"version": 5, "budget": 1_000, "message_id": str(first.message_id)}
    assert [claim.get("since") for claim in session.called("claim")] == [None, cached]
    contents = [message["content"] for message in model_server.requests[1]["messages"]]
    assert contents == ["Be kind.", "one", "uno", "two"]


async def test_an_evicted_window_is_claimed_again_as_a_whole(
    inference: Inference, model_server: ModelServer, session: FakeSessionService
) -> None:
    turn = session.open_turn("two")
    session.contexts = [{"base": 5}, {"base": None}]
    model_server.script(*reply("dos"))
    assert text_of(await inference.events(turn)) == "dos"
    assert [claim.get("since") for claim in session.called("claim")] == [None, None]
    assert len(model_server.requests) == 1


async def test_session_is_called_with_the_callers_principal_and_request_id(
    inference: Inference, model_server: ModelServer, session: FakeSessionService
) -> None:
    turn = session.open_turn()
    model_server.script(*reply("a"))
    async with inference.stream(turn) as stream:
        await stream.events()
    assert stream.response.headers["x-request-id"] == "req-1"
    assert set(session.callers) == {
        ("claim", ADA, "req-1"),
        ("complete", Principal("parley", "inference"), "req-1"),
    }

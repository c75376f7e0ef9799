"""The turn's outcome for what a model server sends; connections, keys and prices."""

import asyncio
import logging
from pathlib import Path

import pytest
from inference_fakes.inference import KEY, Inference, Start
from inference_fakes.model_server import (
    DONE,
    Disconnects,
    ErrorStatus,
    ModelServer,
    Stalls,
    chunk,
    reply,
    usage,
)

from parley_inference.turns import turn_opener
from parley_testing.event_stream import text_of
from parley_testing.eventually import eventually
from parley_testing.session_service import FakeSessionService


async def test_usage_is_the_model_servers_count(
    inference: Inference, model_server: ModelServer, session: FakeSessionService
) -> None:
    turn = session.open_turn()
    model_server.script(chunk("a"), chunk(None, "length"), usage(11, 13), DONE)
    await inference.events(turn)
    [body] = session.called("complete")
    assert body["usage"] == {"prompt_tokens": 11, "completion_tokens": 13}
    assert body["finish_reason"] == "length"
    assert 0 <= body["first_token_ms"] <= body["total_ms"]


async def test_unpaired_surrogates_join_across_chunks_or_are_replaced(
    inference: Inference, model_server: ModelServer, session: FakeSessionService
) -> None:
    turn, paused = session.open_turn(), asyncio.Event()
    model_server.script(chunk("a\ud83d"), paused, chunk("\ude00b"), *reply("\ud83d"))
    async with inference.stream(turn) as stream:
        assert await stream.until_text(1) == "a"
        paused.set()
        *deltas, last = await stream.events()
    assert text_of(deltas) == "😀b\ufffd"
    assert (turn.reply.content, last["sequence_number"]) == ("a😀b\ufffd", 4)


async def test_a_reply_over_the_limit_ends_with_length_and_stops_the_model(
    inference: Inference,
    model_server: ModelServer,
    session: FakeSessionService,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(turn_opener, "MAX_REPLY_BYTES", 100)
    turn = session.open_turn()
    model_server.script(chunk("é" * 40), chunk("é" * 40), Stalls())
    *deltas, last = await inference.events(turn)
    assert (text_of(deltas), last["type"]) == ("é" * 49, "reply.completed")
    assert turn.reply.finish_reason == "length"
    assert turn.reply.usage.estimated
    await eventually(lambda: model_server.open == 0)


async def test_the_price_of_the_model_is_committed_with_the_reply(
    start: Start,
    model_server: ModelServer,
    session: FakeSessionService,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("THE_KEY", "sk-of-the-file")
    models = tmp_path / "models.yaml"
    models.write_text(
        f"""models:
  - name: demo
    upstream_name: demo-2026
    base_url: {model_server.url}
    key_variable: THE_KEY
    context_size: 8000
    price: {{currency: EUR, prompt: 400000, completion: 1600000}}
"""
    )
    inference = await start(models_path=models)
    turn = session.open_turn()
    model_server.script(*reply("a"))
    await inference.events(turn)
    assert model_server.requests[0]["model"] == "demo-2026"
    assert model_server.keys == ["Bearer sk-of-the-file"]
    [body] = session.called("complete")
    assert body["price"] == {"currency": "EUR", "prompt": 400_000, "completion": 1_600_000}


async def test_parameters_of_the_turn_reach_the_server_within_its_limits(
    start: Start, model_server: ModelServer, session: FakeSessionService, tmp_path: Path
) -> None:
    models = tmp_path / "models.yaml"
    server = f"base_url: {model_server.url}, context_size: 8000, reply_tokens: 100"
    models.write_text(f"models: [{{name: demo, {server}}}]")
    inference = await start(models_path=models)
    for given, sent in (
        ({"temperature": 0.5, "top_k": 3}, {"max_completion_tokens": 100}),
        ({"max_tokens": 99}, {}),
        ({"max_tokens": 101}, {"max_tokens": None, "max_completion_tokens": 100}),
        ({"max_completion_tokens": "many"}, {"max_completion_tokens": 100}),
        (
            {"max_completion_tokens": 1, "max_tokens": 101},
            {"max_tokens": None, "max_completion_tokens": 100},
        ),
        # What Parley sets itself cannot be set.
        ({"model": "other", "messages": [], "stream": False}, {"model": "demo", "stream": True}),
    ):
        session.parameters = given
        model_server.script(*reply("a"))
        await inference.events(session.open_turn())
        received = model_server.requests[-1]
        assert received["messages"][-1]["content"] == "Hello?"
        expected = given | sent
        assert {name: received.get(name) for name in expected if name != "messages"} == {
            name: value for name, value in expected.items() if name != "messages"
        }


async def test_without_an_api_key_no_authorization_is_sent(
    start: Start, model_server: ModelServer, session: FakeSessionService
) -> None:
    inference = await start(openai_api_key=None)
    model_server.script(*reply("a"))
    await inference.events(session.open_turn())
    assert model_server.keys == [None]


async def test_successive_replies_reuse_one_connection(
    inference: Inference, model_server: ModelServer, session: FakeSessionService
) -> None:
    for _ in range(3):
        model_server.script(*reply("a"))
        await inference.events(session.open_turn())
    assert model_server.connections == 1


async def test_neither_text_nor_api_key_is_logged(
    start: Start,
    model_server: ModelServer,
    session: FakeSessionService,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    inference = await start(upstream={"first_token_seconds": 2, "between_tokens_seconds": 0.4})
    for steps in (
        [ErrorStatus(400)],
        [chunk("private words"), b"data: private words\n\n"],
        [chunk("private words"), Stalls()],
        [chunk("private words"), Disconnects()],
        reply("private words"),
    ):
        model_server.script(*steps)
        await inference.events(session.open_turn("private words"))
    assert "private" not in caplog.text
    assert "secret" not in caplog.text
    assert KEY not in caplog.text

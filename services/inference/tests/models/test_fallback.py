"""Fallback models, the limits of model servers, and their circuit breakers."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from inference_fakes.inference import Inference, Start
from inference_fakes.model_server import (
    Disconnects,
    ErrorStatus,
    ModelServer,
    Stalls,
    Step,
    chunk,
    reply,
)

from parley_core.auth.principal import Principal
from parley_inference.models import openai_provider
from parley_testing.event_stream import text_of
from parley_testing.eventually import eventually
from parley_testing.session_service import FakeSessionService

Models = Callable[..., Path]
"""Writes a models file with the given limits of the first server."""


@pytest.fixture
async def fallback_server() -> AsyncIterator[ModelServer]:
    async with ModelServer.serve() as server:
        yield server


@pytest.fixture
def models(tmp_path: Path, model_server: ModelServer, fallback_server: ModelServer) -> Models:
    """A models file: `demo` with two fallbacks, of which `small` has no room for any prompt."""

    def models(**limits: float) -> Path:
        overrides = "".join(f", {name}: {value}" for name, value in limits.items())
        file = tmp_path / "models.yaml"
        file.write_text(
            f"""servers:
  - {{base_url: "{model_server.url}"{overrides}}}
models:
  - {{name: demo, base_url: "{model_server.url}", context_size: 8000, fallbacks: [small, other]}}
  - {{name: small, base_url: "{model_server.url}", context_size: 8}}
  - name: other
    upstream_name: other-2026
    base_url: {fallback_server.url}
    context_size: 8000
    price: {{currency: EUR, prompt: 2, completion: 4}}
"""
        )
        return file

    return models


@pytest.fixture
async def inference(start: Start, models: Models) -> Inference:
    return await start(models_path=models(), upstream={"max_attempts": 1})


@pytest.mark.parametrize(
    "steps", [[ErrorStatus(500)], [ErrorStatus(404)], [chunk(""), Disconnects()]]
)
async def test_a_fallback_answers_when_the_model_fails_before_its_first_text(
    inference: Inference,
    model_server: ModelServer,
    fallback_server: ModelServer,
    session: FakeSessionService,
    steps: list[Step],
) -> None:
    turn = session.open_turn()
    model_server.script(*steps)
    fallback_server.script(*reply("in", "stead"))
    assert text_of(await inference.events(turn)) == "instead"
    [body] = session.called("complete")
    assert body["model"] == "other"
    assert body["price"] == {"currency": "EUR", "prompt": 2, "completion": 4}
    assert body["usage"]["prompt_tokens"] == 7
    assert [request["model"] for request in fallback_server.requests] == ["other-2026"]
    assert len(model_server.requests) == 1


async def test_no_fallback_continues_a_partial_reply(
    inference: Inference,
    model_server: ModelServer,
    fallback_server: ModelServer,
    session: FakeSessionService,
) -> None:
    turn = session.open_turn()
    model_server.script(chunk("half"), Disconnects())
    *_, last = await inference.events(turn)
    assert last["error"]["code"] == "upstream_broken"
    assert (turn.reply.content, fallback_server.requests) == ("half", [])
    assert "model" not in session.called("fail")[0]


async def test_the_failure_of_the_last_fallback_is_reported(
    inference: Inference,
    model_server: ModelServer,
    fallback_server: ModelServer,
    session: FakeSessionService,
) -> None:
    model_server.script(ErrorStatus(500))
    fallback_server.script(chunk("half"), Disconnects())
    *_, last = await inference.events(session.open_turn())
    assert last["error"]["code"] == "upstream_broken"
    [body] = session.called("fail")
    assert (body["model"], body["price"]["currency"]) == ("other", "EUR")


async def test_a_stateless_completion_falls_back_too(
    inference: Inference,
    model_server: ModelServer,
    fallback_server: ModelServer,
    session: FakeSessionService,
) -> None:
    model_server.script(ErrorStatus(500))
    fallback_server.script(*reply("instead"))
    body = {"model": "demo", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
    async with inference.request("POST", "/completions", body=body) as answer:
        assert b'"model":"other"' in await answer.read()
    [record] = await eventually(lambda: session.called("completions"))
    assert (record["model"], record["price"]["currency"]) == ("other", "EUR")


async def test_a_server_gets_at_most_its_concurrency_limit(
    start: Start,
    models: Models,
    model_server: ModelServer,
    fallback_server: ModelServer,
    session: FakeSessionService,
) -> None:
    inference = await start(models_path=models(max_concurrency=1, wait_seconds=60))
    first, second, paused = session.open_turn(), session.open_turn(), asyncio.Event()
    model_server.script(chunk("a"), paused, *reply("b"))
    model_server.script(*reply("c"))
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(inference.stream(first))
        await one.until_text(1)
        other = asyncio.create_task(inference.events(second))
        await eventually(lambda: second.runner)
        paused.set()
        assert text_of(await other) == "c"
    assert fallback_server.requests == []


async def test_a_full_server_falls_back_after_the_wait(
    start: Start,
    models: Models,
    model_server: ModelServer,
    fallback_server: ModelServer,
    session: FakeSessionService,
) -> None:
    inference = await start(models_path=models(max_concurrency=1, wait_seconds=0.05))
    first, second, third = (session.open_turn() for _ in range(3))
    model_server.script(chunk("a"), Stalls())
    fallback_server.script(*reply("b"))
    async with inference.stream(first) as stream:
        await stream.until_text(1)
        assert text_of(await inference.events(second)) == "b"
        fallback_server.script(ErrorStatus(400))
        await inference.events(third)
    assert len(model_server.requests) == 1


async def has_been_busy(inference: Inference) -> bool:
    async with inference.request("GET", "/metrics", principal=None) as answer:
        return 'code="upstream_busy"' in await answer.text()


async def test_a_turn_waits_for_a_full_server_without_a_fallback(
    start: Start, model_server: ModelServer, session: FakeSessionService
) -> None:
    inference = await start(upstream={"max_concurrency": 1, "wait_seconds": 0.01})
    first, second = session.open_turn(), session.open_turn()
    paused = asyncio.Event()
    model_server.script(chunk("a"), paused, *reply("b"))
    model_server.script(*reply("second"))
    async with inference.stream(first) as stream, inference.stream(second) as waiting:
        await stream.until_text(1)
        await eventually(lambda: has_been_busy(inference))
        paused.set()
        assert text_of(await waiting.events()) == "second"


async def test_repeated_failures_open_the_circuit_until_a_trial_succeeds(
    start: Start,
    model_server: ModelServer,
    session: FakeSessionService,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(openai_provider, "CIRCUIT_OPEN_SECONDS", 0.2)
    inference = await start(upstream={"circuit_failure_threshold": 3})
    for _ in range(3):
        model_server.script(ErrorStatus(500))
    await inference.events(session.open_turn())
    *_, last = await inference.events(session.open_turn())
    assert last["error"]["code"] == "upstream_unavailable"
    assert len(model_server.requests) == 3

    async def answers_again() -> bool:
        if not model_server._scripts:
            model_server.script(*reply("back"))
        return text_of(await inference.events(session.open_turn())) == "back"

    await eventually(answers_again)
    model_server.script(*reply("back"))
    assert text_of(await inference.events(session.open_turn())) == "back"


async def test_failures_of_one_person_open_the_circuit_for_nobody_else(
    start: Start, model_server: ModelServer
) -> None:
    inference = await start(upstream={"circuit_failure_threshold": 4, "max_attempts": 1})

    async def status(who: Principal) -> int:
        body = {"model": "demo", "messages": [{"role": "user", "content": "Hi."}], "stream": True}
        async with inference.request("POST", "/completions", body=body, principal=who) as answer:
            await answer.read()
            return answer.status

    eve, ada, bob = (Principal("default", user) for user in ("eve", "ada", "bob"))
    for _ in range(4):
        model_server.script(ErrorStatus(500))
        assert await status(eve) == 503
    assert await status(eve) == 503
    assert len(model_server.requests) == 4
    model_server.script(*reply("Hi."))
    assert await status(ada) == 200

    # Eve's failures count no more; those of two other people open it for everybody.
    for who in (ada, bob, ada, bob):
        model_server.script(ErrorStatus(500))
        assert await status(who) == 503
    assert await status(Principal("default", "dan")) == 503
    assert len(model_server.requests) == 9


async def test_a_server_may_have_its_own_timeouts(
    start: Start,
    models: Models,
    model_server: ModelServer,
    fallback_server: ModelServer,
    session: FakeSessionService,
) -> None:
    inference = await start(models_path=models(first_token_seconds=0.1))
    model_server.script(Stalls())
    fallback_server.script(*reply("b"))
    assert text_of(await inference.events(session.open_turn())) == "b"


async def test_the_total_timeout_bounds_all_retries_and_fallbacks(
    start: Start,
    models: Models,
    model_server: ModelServer,
    fallback_server: ModelServer,
    session: FakeSessionService,
) -> None:
    inference = await start(models_path=models(total_seconds=0.2))
    model_server.script(ErrorStatus(500))
    for _ in range(2):
        model_server.script(ErrorStatus(500))
    fallback_server.script(Stalls())
    async with asyncio.timeout(15):
        *_, last = await inference.events(session.open_turn())
    assert last["error"]["code"] == "upstream_timeout"


async def test_metrics_report_each_server(
    inference: Inference,
    model_server: ModelServer,
    fallback_server: ModelServer,
    session: FakeSessionService,
) -> None:
    model_server.script(ErrorStatus(500))
    fallback_server.script(*reply("instead"))
    await inference.events(session.open_turn())
    async with inference.request("GET", "/metrics", principal=None) as answer:
        metrics = await answer.text()
    primary, fallback = (f'{{server="{server.url}"' for server in (model_server, fallback_server))
    assert f'_upstream_failures_total{{code="upstream_unavailable",{primary[1:]}}} 1.0' in metrics
    assert f'_upstream_circuit{primary},state="closed"}} 1.0' in metrics
    assert f'_upstream_circuit{primary},state="open"}} 0.0' in metrics
    assert f"_first_token_seconds_count{fallback}}} 1.0" in metrics
    assert f"_upstream_retries_total{primary}}} 0.0" in metrics
    assert f"_upstream_requests_total{fallback}}} 1.0" in metrics
    assert 'parley_inference_fallbacks_total{from="demo",to="other"} 1.0' in metrics
    assert "parley_inference_completions_in_flight 0.0" in metrics

"""Processes leave while they serve: what runs in them ends as if they stayed."""

import asyncio
import json
import signal
from typing import Any
from uuid import uuid4

import openai
import pytest
from e2e_support.model_server import MODEL, paced_text
from e2e_support.stack import Stack
from e2e_support.user import User

from parley_testing.event_stream import text_of
from parley_testing.eventually import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

SERVICES = ("gateway", "session", "inference", "history-serve", "history-project")
TOKENS = 250  # Five seconds, longer than a shutdown that waits for nothing.


async def restart(stack: Stack, *names: str) -> None:
    """Ask the processes to stop, and return once others have taken their places."""
    before = {name: stack.pid(name) for name in names}
    for name in names:
        stack.kill(name, signal.SIGTERM)
    await asyncio.gather(*(stack.wait_until_restarted(*each) for each in before.items()))
    await stack.wait_until_ready()


async def test_an_openai_stream_and_its_reply_outlive_the_processes_that_serve_them(
    stack: Stack,
) -> None:
    session = await stack.user("rollout").start_session()
    prompt: Any = {"role": "user", "content": f"[pace {TOKENS}] {uuid4()}"}
    url, key = f"http://{stack.address('gateway')}/v1", stack.token("rollout")
    async with openai.AsyncOpenAI(base_url=url, api_key=key, max_retries=0) as client:
        with_session = await client.chat.completions.create(
            model=MODEL,
            messages=[prompt],
            stream=True,
            extra_headers={"Parley-Session-Id": session},
        )
        stateless = await client.chat.completions.create(
            model=MODEL,
            messages=[prompt],
            stream=True,
        )
        restarting = asyncio.create_task(restart(stack, "gateway", "inference", "inference-2"))

        async def text(stream: Any) -> str:
            return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

        texts = await asyncio.gather(text(with_session), text(stateless))
    assert [*texts] == [paced_text(TOKENS)] * 2
    await restarting


async def test_a_stream_that_can_be_resumed_ends_early_and_continues_elsewhere(
    stack: Stack, clients: list[User]
) -> None:
    leaving, staying = clients
    session, whole = await staying.start_session(), paced_text(TOKENS)
    async with leaving.stream(session, f"[pace {TOKENS}] {uuid4()}") as turn:
        started = await turn.started()
        text = await turn.until_text(20)
        restarting = asyncio.create_task(restart(stack, "gateway"))
        text += text_of(await turn.events())
    assert len(text) < len(whole)
    async with staying.resume(started["turn_id"], str(len(text))) as stream:
        text += text_of(await stream.events())
    assert text == whole
    await restarting


async def test_readiness_of_a_process_depends_on_no_other(stack: Stack) -> None:
    async def readiness(name: str) -> int:
        return (await stack.fetch(f"http://{stack.management(name)}/readyz")).status_code

    for paused in ("postgres", "kafka", "redis", "session", "inference", "history-serve"):
        async with stack.paused(paused):
            others = [name for name in SERVICES if name != paused]
            assert [await readiness(name) for name in others] == [200] * len(others), paused


async def test_the_status_of_a_process_shows_a_dependency_that_is_unavailable(
    stack: Stack, clients: list[User]
) -> None:
    async def redis_is(status: str) -> bool:
        await clients[0].get("/sessions")
        session = await clients[0].start_session()
        await clients[0].get(f"/history/{session}")
        url = f"http://{stack.management('gateway')}/status"
        dependencies = (await stack.fetch(url)).json()["dependencies"]
        return bool(dependencies["redis"]["status"] == status)

    await eventually(lambda: redis_is("ok"))
    async with stack.paused("redis"):
        await eventually(lambda: redis_is("unavailable"))
    await eventually(lambda: redis_is("ok"))


async def test_every_log_line_is_one_json_object(stack: Stack) -> None:
    for name in SERVICES:
        lines = stack.log(name).splitlines()
        assert lines
        for line in lines:
            entry = json.loads(line)
            assert {"time", "level", "logger", "message", "service"} <= entry.keys(), line

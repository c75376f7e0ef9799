"""The official `openai` package of Node, unmodified: what it makes of Parley."""

import asyncio
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import pytest
import pytest_asyncio
from stack.cutting_proxy import CuttingProxy
from stack.model_server import MODEL, MODELS, TOKEN, USAGE, ModelServer
from stack.node import Node
from stack.parley import Stack
from stack.person import Person

from parley_testing.eventually import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")


class Run(NamedTuple):
    """One run of the script, the person in whose name it was, and their session."""

    person: Person
    session: str
    told: dict[str, Any]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def node(engine_cache: Path) -> Node:
    return await Node.with_packages(engine_cache)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def run(node: Node, stack: Stack) -> Run:
    name = f"ada-{uuid4()}"
    person = stack.person(name)
    session = await person.start_session()
    told = await node.run(
        "openai.mjs",
        OPENAI_BASE_URL=f"{stack.url}/v1",
        OPENAI_API_KEY=stack.token(name),
        MODEL=MODEL,
        SESSION=session,
    )
    return Run(person, session, told)


async def test_models_are_listed_and_read(run: Run) -> None:
    assert (run.told["models"], run.told["model"]) == ([*MODELS], MODEL)


async def test_completions_come_whole_and_streamed(run: Run) -> None:
    whole, streamed = run.told["whole"], run.told["streamed"]
    assert whole["choices"][0]["message"]["content"] == streamed["text"] == "Answer to: Hello"
    assert whole["choices"][0]["finish_reason"] == streamed["finish"] == "stop"
    assert len(streamed["ids"]) == 1
    assert streamed["usage"]["completion_tokens"] == USAGE["completion_tokens"]


async def test_tool_calls_are_streamed(run: Run) -> None:
    called = run.told["called"]
    assert (called["arguments"], called["finish"]) == ('{"number": 7}', "tool_calls")
    assert called["usage"] is None


async def test_a_stream_that_breaks_at_the_model_server_throws_after_what_came(run: Run) -> None:
    died = run.told["died"]
    assert (died["text"], died["error"]["kind"]) == (3 * TOKEN, "APIError")
    assert died["error"]["code"].startswith("upstream_")


async def test_errors_are_those_that_the_sdk_knows(run: Run) -> None:
    unknown, system = run.told["unknown"], run.told["system"]
    assert (unknown["kind"], unknown["code"]) == ("NotFoundError", "model_not_found")
    assert (system["kind"], system["status"]) == ("BadRequestError", 400)
    assert system["param"].startswith("messages.0")


async def test_completions_of_a_session_are_its_turns(run: Run) -> None:
    assert run.told["first"]["text"] == "Answer to: Hello"
    assert run.told["second"]["choices"][0]["message"]["content"] == "Answer to: Again"
    messages = await run.person.messages(run.session, 7)
    contents = [message["content"] for message in messages]
    assert contents == ["Hello", "Answer to: Hello", "Again", "Answer to: Again"]


async def test_a_call_that_the_sdk_tries_again_is_answered_by_the_turn_that_it_opened(
    node: Node, stack: Stack, model_server: ModelServer
) -> None:
    name, text = f"ada-{uuid4()}", f"[gate 3] {uuid4()}"
    ada = stack.person(name)
    session = await ada.start_session()
    async with CuttingProxy.serve(f"127.0.0.1:{stack.port}") as proxy:
        call = asyncio.create_task(
            node.run(
                "retry.mjs",
                OPENAI_BASE_URL=f"{proxy.url}/v1",
                OPENAI_API_KEY=stack.token(name),
                MODEL=MODEL,
                SESSION=session,
                TEXT=text,
            )
        )
        await eventually(lambda: model_server.asked_with(text), within=20)
        await proxy.cut_all()
        model_server.open_gate(text)
        completion = await call
    assert completion["choices"][0]["message"]["content"] == 6 * TOKEN
    assert len(model_server.asked_with(text)) == 1
    assert len(await ada.messages(session, 4)) == 2

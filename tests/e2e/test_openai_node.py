"""The official `openai` Node package against Parley."""

import asyncio
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import pytest
import pytest_asyncio
from e2e_support.flaky_proxy import FlakyProxy
from e2e_support.model_server import MODEL, MODELS, TOKEN, USAGE, ModelServer
from e2e_support.node import Node
from e2e_support.stack import Stack
from e2e_support.user import User

from parley_testing.eventually import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")


class Run(NamedTuple):
    """The result of one run of the script, its user, and the session it used."""

    user: User
    session: str
    result: dict[str, Any]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def node(engine_cache: Path) -> Node:
    return await Node.with_packages(engine_cache)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def run(node: Node, stack: Stack) -> Run:
    name = f"ada-{uuid4()}"
    user = stack.user(name)
    session = await user.start_session()
    result = await node.run(
        "openai.mjs",
        OPENAI_BASE_URL=f"{stack.url}/v1",
        OPENAI_API_KEY=stack.token(name),
        MODEL=MODEL,
        SESSION=session,
    )
    return Run(user, session, result)


async def test_models_are_listed_and_read(run: Run) -> None:
    assert (run.result["models"], run.result["model"]) == ([*MODELS], MODEL)


async def test_completions_are_returned_whole_and_streamed(run: Run) -> None:
    whole, streamed = run.result["whole"], run.result["streamed"]
    assert whole["choices"][0]["message"]["content"] == streamed["text"] == "Answer to: Hello"
    assert whole["choices"][0]["finish_reason"] == streamed["finish"] == "stop"
    assert len(streamed["ids"]) == 1
    assert streamed["usage"]["completion_tokens"] == USAGE["completion_tokens"]


async def test_tool_calls_are_streamed(run: Run) -> None:
    called = run.result["called"]
    assert (called["arguments"], called["finish"]) == ('{"number": 7}', "tool_calls")
    assert called["usage"] is None


async def test_a_stream_broken_by_the_model_server_throws_after_the_partial_text(run: Run) -> None:
    died = run.result["died"]
    assert (died["text"], died["error"]["kind"]) == (3 * TOKEN, "APIError")
    assert died["error"]["code"].startswith("upstream_")


async def test_errors_map_to_the_sdks_exceptions(run: Run) -> None:
    unknown, system = run.result["unknown"], run.result["system"]
    assert (unknown["kind"], unknown["code"]) == ("NotFoundError", "model_not_found")
    assert (system["kind"], system["status"]) == ("BadRequestError", 400)
    assert system["param"].startswith("messages.0")


async def test_completions_with_a_session_are_turns_of_it(run: Run) -> None:
    assert run.result["first"]["text"] == "Answer to: Hello"
    assert run.result["second"]["choices"][0]["message"]["content"] == "Answer to: Again"
    messages = await run.user.messages(run.session, 7)
    contents = [message["content"] for message in messages]
    assert contents == ["Hello", "Answer to: Hello", "Again", "Answer to: Again"]


async def test_a_request_repeated_by_the_sdk_returns_the_turn_it_opened(
    node: Node, stack: Stack, model_server: ModelServer
) -> None:
    name, text = f"ada-{uuid4()}", f"[gate 3] {uuid4()}"
    ada = stack.user(name)
    session = await ada.start_session()
    async with FlakyProxy.serve(f"127.0.0.1:{stack.port}") as proxy:
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
        await eventually(lambda: model_server.prompts_with(text))
        await proxy.cut_all()
        model_server.open_gate(text)
        completion = await call
    assert completion["choices"][0]["message"]["content"] == 6 * TOKEN
    assert len(model_server.prompts_with(text)) == 1
    assert len(await ada.messages(session, 4)) == 2

"""The official `openai` Python package against Parley."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import openai
import pytest
import pytest_asyncio
from e2e_support.flaky_proxy import FlakyProxy
from e2e_support.model_server import (
    MODEL,
    MODELS,
    TOKEN,
    UPSTREAM_ERROR_TEXT,
    USAGE,
    ModelServer,
)
from e2e_support.stack import Stack
from e2e_support.user import User
from openai.types.chat import ChatCompletionChunk

from parley_testing.eventually import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

LOOK_UP: Any = {"type": "function", "function": {"name": "look_up", "parameters": {}}}

CALLERS_FAULTS = ("refuse 422", "overflow 400")


@pytest.fixture
def name() -> str:
    return f"ada-{uuid4()}"


@pytest.fixture
def ada(stack: Stack, name: str) -> User:
    """The user whose token the SDK uses."""
    return stack.user(name)


@pytest_asyncio.fixture(loop_scope="session")
async def client(stack: Stack, name: str) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(
        base_url=f"{stack.url}/v1", api_key=stack.token(name), max_retries=0
    ) as client:
        yield client


async def test_models_are_listed_and_read(client: openai.AsyncOpenAI) -> None:
    assert [model.id async for model in client.models.list()] == [*MODELS]
    assert (await client.models.retrieve(MODEL)).id == MODEL
    with pytest.raises(openai.NotFoundError) as unknown:
        await client.models.retrieve("nobody")
    assert unknown.value.code == "model_not_found"


async def test_a_completion_has_the_models_text_and_an_id_of_parley(
    client: openai.AsyncOpenAI,
) -> None:
    completion = await client.chat.completions.create(model=MODEL, messages=[user_message("Hello")])
    assert completion.choices[0].message.content == "Answer to: Hello"
    assert completion.choices[0].finish_reason == "stop"
    assert completion.model == MODEL
    UUID(completion.id.removeprefix("chatcmpl-"))
    assert completion.usage is not None
    assert completion.usage.prompt_tokens == USAGE["prompt_tokens"]


async def test_a_streamed_completion_includes_usage_only_on_request(
    client: openai.AsyncOpenAI,
) -> None:
    *chunks, last = await streamed(client, "[tokens 5]", stream_options={"include_usage": True})
    assert text_of(chunks) == 5 * TOKEN
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.completion_tokens == USAGE["completion_tokens"]
    assert len({chunk.id for chunk in (*chunks, last)}) == 1
    without = await streamed(client, "[tokens 5]")
    assert text_of(without) == 5 * TOKEN
    assert without[-1].choices[0].finish_reason == "stop"
    assert not any(chunk.usage for chunk in without)


async def test_tools_are_passed_through(
    client: openai.AsyncOpenAI, model_server: ModelServer
) -> None:
    asked = user_message(f"[call 7] {uuid4()}")
    completion = await client.chat.completions.create(
        model=MODEL, messages=[asked], tools=[LOOK_UP], temperature=0.5
    )
    message = completion.choices[0].message
    assert message.tool_calls is not None
    [call] = message.tool_calls
    assert call.type == "function"
    assert (call.function.name, call.function.arguments) == ("look_up", '{"number": 7}')
    sent = next(each for each in model_server.requests if each["messages"] == [asked])
    assert (sent["tools"], sent["temperature"]) == ([LOOK_UP], 0.5)
    answered: Any = {"role": "tool", "tool_call_id": call.id, "content": "seven"}
    messages = [asked, message.to_dict(), answered]
    then = await client.chat.completions.create(model=MODEL, messages=messages, tools=[LOOK_UP])
    assert then.choices[0].message.content == "Answer to: seven"


async def test_a_stream_broken_by_the_model_server_raises_after_the_partial_text(
    client: openai.AsyncOpenAI,
) -> None:
    text = ""

    async def read() -> None:
        nonlocal text
        async for chunk in await client.chat.completions.create(
            model=MODEL, messages=[user_message("[die 3]")], stream=True
        ):
            text += text_of([chunk])

    with pytest.raises(openai.APIError) as broken:
        await read()
    assert text == 3 * TOKEN
    assert str(broken.value.code).startswith("upstream_")


async def test_errors_map_to_the_sdks_exceptions(
    client: openai.AsyncOpenAI, ada: User, stack: Stack
) -> None:
    async def refused(error: type[openai.APIStatusError], **request: Any) -> tuple[Any, Any]:
        with pytest.raises(error) as found:
            await client.chat.completions.create(
                **{"model": MODEL, "messages": [user_message("Hello")], **request}
            )
        return found.value.code, found.value.param

    durable = {"metadata": {"session_id": await ada.start_session()}}
    assert await refused(openai.NotFoundError, model="nobody") == ("model_not_found", "model")
    code, _ = await refused(openai.NotFoundError, metadata={"session_id": str(uuid4())})
    assert code == "session_not_found"
    for request, named in (
        ({"tools": [LOOK_UP]}, "tools"),
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        (
            {"messages": [{"role": "system", "content": "Be brief."}, user_message("Hi")]},
            "messages.0",
        ),
    ):
        _, param = await refused(openai.BadRequestError, **durable, **request)
        assert str(param).startswith(named)
    busy = await refused(openai.InternalServerError, messages=[user_message("[refuse 500]")])
    assert str(busy[0]).startswith("upstream_")
    async with openai.AsyncOpenAI(base_url=f"{stack.url}/v1", api_key="nobody's") as stranger:
        with pytest.raises(openai.AuthenticationError):
            await stranger.models.list()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("directive", "error", "code", "attempts"),
    [
        ("refuse 500", openai.InternalServerError, "upstream_unavailable", 3),
        ("refuse 429", openai.RateLimitError, "upstream_rate_limited", 3),
        ("refuse 401", openai.InternalServerError, "upstream_unauthorized", 1),
        ("refuse 422", openai.UnprocessableEntityError, "upstream_refused", 1),
        ("overflow 400", openai.BadRequestError, "context_length_exceeded", 1),
    ],
)
async def test_retries_of_the_sdk_do_not_multiply_those_of_parley(
    client: openai.AsyncOpenAI,
    model_server: ModelServer,
    stream: bool,
    directive: str,
    error: type[openai.APIStatusError],
    code: str,
    attempts: int,
) -> None:
    text = f"[{directive}] {uuid4()}"
    client = client.with_options(max_retries=2)
    request = (
        streamed(client, text)
        if stream
        else client.chat.completions.create(model=MODEL, messages=[user_message(text)])
    )
    # A slow failure of a stream is an event, after the head of the response was sent.
    with pytest.raises(openai.APIError if stream else error) as failed:
        await request
    assert failed.value.code == code
    assert len(model_server.prompts_with(text)) == attempts
    # The caller's own request is the server's to judge; a failure of the server's is not quoted.
    assert (UPSTREAM_ERROR_TEXT in failed.value.message) == (directive in CALLERS_FAULTS)


async def test_parameters_reach_the_model_server_with_and_without_a_session(
    client: openai.AsyncOpenAI, ada: User, model_server: ModelServer
) -> None:
    session, texts = await ada.start_session(), [f"{number} {uuid4()}" for number in range(3)]
    sampling: dict[str, Any] = {
        "temperature": 0.25,
        "max_tokens": 9,
        "extra_body": {"top_k": 40, "chat_template_kwargs": {"enable_thinking": False}},
    }
    for text, more in (
        (texts[0], sampling),
        (texts[1], sampling | {"metadata": {"session_id": session}}),
        (texts[2], {"metadata": {"session_id": session}}),
    ):
        await client.chat.completions.create(
            model=MODEL, messages=[user_message(text)], store=False, **more
        )
    for text in texts:
        [sent] = [each for each in model_server.requests if each["messages"][-1]["content"] == text]
        given = {name: sent.get(name) for name in ("temperature", "max_tokens", "top_k", "store")}
        if text == texts[2]:
            # The parameters were those of one turn.
            assert given == {"temperature": None, "max_tokens": None, "top_k": None, "store": False}
        else:
            assert given == {"temperature": 0.25, "max_tokens": 9, "top_k": 40, "store": False}
            assert sent["chat_template_kwargs"] == {"enable_thinking": False}


async def test_completions_with_a_session_are_turns_of_it(
    client: openai.AsyncOpenAI, ada: User, model_server: ModelServer
) -> None:
    session, first = await ada.start_session(), f"first {uuid4()}"
    raw = await client.chat.completions.with_raw_response.create(
        model=MODEL, messages=[user_message(first)], metadata={"session_id": session}
    )
    assert raw.headers["parley-session-id"] == session
    turn = await ada.get(f"/turns/{raw.headers['parley-turn-id']}")
    completion = raw.parse()
    assert completion.choices[0].message.content == turn["reply"]["content"]

    # Parley uses its stored messages, not the earlier messages that the client sends.
    second = f"second {uuid4()}"
    chunks = await streamed(
        client,
        second,
        before=[user_message("Made up"), {"role": "assistant", "content": "Also made up"}],
        extra_headers={"Parley-Session-Id": session},
        stream_options={"include_usage": True},
    )
    assert text_of(chunks) == f"Answer to: {second}"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == USAGE["total_tokens"]
    contents = [message["content"] for message in await ada.messages(session, 7)]
    assert contents == [first, f"Answer to: {first}", second, f"Answer to: {second}"]
    [asked] = model_server.prompts_with(second)
    assert [each["content"] for each in asked if each["role"] != "system"] == contents[:3]


async def test_a_request_repeated_by_the_sdk_returns_the_turn_it_opened(
    ada: User, name: str, stack: Stack, model_server: ModelServer
) -> None:
    session, text = await ada.start_session(), f"[gate 3] {uuid4()}"
    async with (
        FlakyProxy.serve(f"127.0.0.1:{stack.port}") as proxy,
        openai.AsyncOpenAI(base_url=f"{proxy.url}/v1", api_key=stack.token(name)) as client,
    ):
        call = asyncio.create_task(
            client.chat.completions.create(
                model=MODEL, messages=[user_message(text)], metadata={"session_id": session}
            )
        )
        await eventually(lambda: model_server.prompts_with(text))
        await proxy.cut_all()
        model_server.open_gate(text)
        completion = await call
    assert proxy.cuts == 1
    assert completion.choices[0].message.content == 6 * TOKEN
    assert len(model_server.prompts_with(text)) == 1
    assert len(await ada.messages(session, 4)) == 2


def user_message(text: str) -> Any:
    return {"role": "user", "content": text}


async def streamed(
    client: openai.AsyncOpenAI, text: str, *, before: tuple[Any, ...] | list[Any] = (), **more: Any
) -> list[ChatCompletionChunk]:
    stream = await client.chat.completions.create(
        model=MODEL, messages=[*before, user_message(text)], stream=True, **more
    )
    return [chunk async for chunk in stream]


def text_of(chunks: list[ChatCompletionChunk]) -> str:
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)

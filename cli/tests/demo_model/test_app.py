"""Demo model: its replies, and its HTTP API through the official OpenAI SDK."""

import asyncio
import contextlib
import io
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import openai
import pytest
from openai.types.chat import ChatCompletionChunk

import parley_cli.demo_model
from parley_cli.demo_model.replies import DISCLOSURE, Message, reply_text, reply_to
from parley_cli.engines import free_port

SOURCES = str(Path(parley_cli.demo_model.__file__).parents[2])


def user(*texts: str) -> list[Message]:
    return [Message("user", text) for text in texts]


def test_every_reply_names_the_demo_model_and_how_to_use_a_real_one() -> None:
    assert reply_text(user("Hello")).startswith(DISCLOSURE)
    assert "`OPENAI_API_KEY`" in DISCLOSURE


@pytest.mark.parametrize(
    ("statement", "question", "recalled"),
    [
        ("My name is Ada and I live in Paris.", "What is my name?", "name is **Ada**"),
        ("My name is Ada and I live in Paris.", "Where do I live?", "live in **Paris**"),
        ("my favourite colour is green", "what's my favourite colour?", "is **green**"),
        ("Remember that the gate is blue.", "What do you remember?", "- the gate is blue"),
        ("My version is 3.11.", "What is my version?", "is **3.11**."),
        ("Remember that parley.dev, too, is up.", "Who am I?", "- parley.dev, too, is up\n"),
        ("My name is Ada", "What is my age?", "You have not told me your age"),
        ("My name is Ada", "Call me Bea. What is my name?", "name is **Bea**"),
        ("Do you think my name is Bob?", "What is my name?", "You have not told me your name"),
    ],
)
def test_the_latest_statement_is_recalled_when_asked(
    statement: str, question: str, recalled: str
) -> None:
    assert recalled in reply_text(
        [*user(statement), Message("assistant", "Noted"), *user(question)]
    )


def test_statements_of_the_assistant_are_not_facts_about_the_user() -> None:
    messages = [Message("assistant", "My name is Demo."), *user("What is my name?")]
    assert "You have not told me your name" in reply_text(messages)


def test_earlier_messages_are_quoted_and_summarised_when_asked() -> None:
    assert "> two" in reply_text(user("one", "two", "What did I say?"))
    assert "> one" in reply_text(user("one", "two", "What did I say first?"))
    assert "1. one\n2. two" in reply_text(user("one", "two", "Please summarise"))


def test_earlier_turns_are_counted() -> None:
    messages = [*user("Hi"), Message("assistant", "Hello"), *user("And now?")]
    assert "1 from you, 1 from me. The first began: “Hi”" in reply_text(messages)


def test_the_name_in_the_system_prompt_is_reflected() -> None:
    prompt = Message("system", "You are Marvin, a gloomy robot.")
    assert "Answering as Marvin." in reply_text([prompt, *user("Hi")])


def test_the_token_limit_truncates_the_reply_with_finish_reason_length() -> None:
    whole, cut = reply_to(user("Hi")), reply_to(user("Hi"), 5)
    assert (whole.finish_reason, whole.text) == ("stop", reply_text(user("Hi")))
    assert (cut.finish_reason, cut.pieces) == ("length", whole.pieces[:5])


@pytest.mark.timeout(5)
@pytest.mark.parametrize("unit", [" ", "\n", ".", "my a is ", "what is my ", "remember that "])
def test_the_longest_message_does_not_stall_the_reply(unit: str) -> None:
    assert reply_text(user(unit * (4_000_000 // len(unit)), "What is my name?"))
    assert reply_text(user("Hi", unit * (4_000_000 // len(unit))))


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with _demo_model() as (address, _):
        yield address


@contextlib.contextmanager
def _demo_model() -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    port = free_port()
    command = [sys.executable, "-m", "parley_cli.demo_model", "--port", str(port)]
    settings = {"PYTHONPATH": SOURCES, "PARLEY_DEMO_MODEL_DELAY_MS": "20"}
    with subprocess.Popen(command, env=os.environ | settings) as process:
        try:
            _wait_until_healthy(f"http://127.0.0.1:{port}/healthz")
            yield f"http://127.0.0.1:{port}", process
        finally:
            process.terminate()


def _wait_until_healthy(url: str) -> None:
    for _ in range(400):
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=1):
            return
        time.sleep(0.05)
    raise TimeoutError(url)


@pytest.fixture
async def client(address: str) -> AsyncIterator[openai.AsyncOpenAI]:
    transport = openai.DefaultAioHttpClient()
    url = f"{address}/v1"
    async with openai.AsyncOpenAI(base_url=url, api_key="none", http_client=transport) as sdk:
        yield sdk


async def test_the_sdk_reads_a_whole_completion_with_usage(client: openai.AsyncOpenAI) -> None:
    [model] = [model.id async for model in client.models.list()]
    question: Any = {"role": "user", "content": [{"type": "text", "text": "What is my name?"}]}
    completion = await client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": "My name is Ada."}, question]
    )
    assert "**Ada**" in (completion.choices[0].message.content or "")
    assert completion.usage is not None
    assert completion.usage.prompt_tokens == 8


async def test_a_stream_joins_to_the_whole_reply_and_ends_with_usage(
    client: openai.AsyncOpenAI,
) -> None:
    stream = await client.chat.completions.create(
        model="any",
        messages=[{"role": "user", "content": "Hi"}],
        stream=True,
        stream_options={"include_usage": True},
    )
    *chunks, finish, usage = [chunk async for chunk in stream]
    texts = [chunk.choices[0].delta.content or "" for chunk in chunks]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(texts) == reply_text(user("Hi"))
    assert finish.choices[0].finish_reason == "stop"
    assert usage.choices == []
    assert usage.usage is not None
    assert usage.usage.completion_tokens == len(texts) - 1


async def test_common_parameters_of_the_sdk_are_ignored(client: openai.AsyncOpenAI) -> None:
    function: Any = {"type": "function", "function": {"name": "look", "parameters": {}}}
    call: Any = {"id": "1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    completion = await client.chat.completions.create(
        model="any",
        messages=[
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "1", "content": "Nothing."},
        ],
        tools=[function],
        tool_choice="auto",
        response_format={"type": "text"},
        stop=["."],
        seed=1,
        temperature=0.5,
        top_p=0.5,
        user="ada",
        logprobs=False,
    )
    assert "> Hi" in (completion.choices[0].message.content or "")
    assert completion.choices[0].finish_reason == "stop"


async def test_a_limited_stream_ends_with_finish_reason_length(client: openai.AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model="any", messages=[{"role": "user", "content": "Hi"}], stream=True, max_tokens=3
    )
    *_, last = [chunk async for chunk in stream]
    assert last.choices[0].finish_reason == "length"


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        (b"{", 400, None),
        (b'"\xff"', 400, None),
        (b'{"model": "any"}', 400, "messages"),
        (b'{"model": "any", "messages": [{"role": "x"}]}', 400, "messages[0].role"),
        (b'{"model": "any", "messages": [{"role": "user"}], "max_tokens": 0}', 400, "max_tokens"),
        (b" " * (4 * 1024 * 1024 + 1), 413, None),
    ],
    ids=["malformed", "not UTF-8", "missing", "bad role", "no tokens", "over 4 MiB"],
)
async def test_invalid_input_is_rejected_with_an_openai_error_body(
    address: str, body: bytes, status: int, param: str | None
) -> None:
    url = f"{address}/v1/chat/completions"
    async with aiohttp.ClientSession() as http, http.post(url, data=io.BytesIO(body)) as response:
        error = (await response.json())["error"]
    assert (response.status, error["param"]) == (status, param)
    assert error.keys() == {"message", "type", "param", "code"}


async def test_a_stream_stops_soon_after_its_client_disconnects(
    address: str, client: openai.AsyncOpenAI
) -> None:
    stream = await _long_stream(client)
    assert await _open_streams(address) == 1
    await stream.close()
    async with asyncio.timeout(15):
        while await _open_streams(address):
            pass


async def test_sigterm_ends_the_server_soon_despite_open_streams() -> None:
    with _demo_model() as (address, process):
        sdk = openai.AsyncOpenAI(base_url=f"{address}/v1", api_key="none")
        async with sdk, await _long_stream(sdk):
            process.terminate()
            assert await asyncio.to_thread(process.wait, timeout=3) == -signal.SIGTERM


async def _long_stream(client: openai.AsyncOpenAI) -> openai.AsyncStream[ChatCompletionChunk]:
    """A started stream that lasts over ten seconds: 300 lines to summarise, at 20 ms a word."""
    texts = [f"line {number}" for number in range(300)]
    stream = await client.chat.completions.create(
        model="any",
        messages=[{"role": "user", "content": text} for text in [*texts, "summarise"]],
        stream=True,
    )
    await anext(aiter(stream))
    return stream


async def _open_streams(address: str) -> int:
    async with aiohttp.ClientSession() as http, http.get(f"{address}/healthz") as response:
        return int((await response.json())["open_streams"])

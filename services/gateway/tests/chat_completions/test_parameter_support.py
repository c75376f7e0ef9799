"""Parameters of chat completions: unsupported ones are named before any call."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from gateway_fakes.gateway import SESSION_ID, Gateway, another_id
from gateway_fakes.inference import Inference
from gateway_fakes.openai_client import HELLO

from parley_contracts import turn_sse as sse
from parley_core.http.errors import ParleyError
from parley_gateway.chat_completions.new_messages import new_texts
from parley_gateway.chat_completions.parameter_support import ParameterSupport
from parley_gateway.chat_completions.schemas import CompletionMessage, CreateChatCompletion
from parley_testing.fake_service import raw
from parley_testing.session_service import FakeSessionService

PATH = "/v1/chat/completions"
USER, ASSISTANT = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes?"}


def completion_request(**changes: Any) -> dict[str, Any]:
    return {"model": "parley-demo", "messages": HELLO, **changes}


def shape(**changes: Any) -> Any:
    return CreateChatCompletion.model_validate_json(json.dumps(completion_request(**changes)))


def refused_of(messages: Any) -> Any:
    with pytest.raises(ParleyError) as refused:
        new_texts([CompletionMessage.model_validate(message) for message in messages])
    return refused.value.status, refused.value.param


REFUSED = [
    ({}, "model"),
    (completion_request(messages=[]), "messages"),
    (completion_request(messages=[USER] * 2_049), "messages"),
    (completion_request(messages=[{"role": "robot", "content": ""}]), "messages.0.role"),
    (completion_request(messages=[{"role": "user", "content": 7}]), "messages.0.content"),
    (completion_request(messages=[{"role": "user", "content": ["Hi"]}]), "messages.0.content.0"),
    (completion_request(**{f"p{number}": 0 for number in range(33)}), "p32"),
    (completion_request(temperature="hot"), "temperature"),
    (completion_request(temperature=3), "temperature"),
    (completion_request(max_tokens=0), "max_tokens"),
    (completion_request(n=9), "n"),
    (completion_request(stream_options={"include_usage": True}), "stream_options"),
    (completion_request(metadata={"session_id": "x"}), "metadata.session_id"),
]


async def test_an_invalid_request_is_rejected_before_any_call(
    gateway: Gateway, session: FakeSessionService, inference: Inference
) -> None:
    for body, param in REFUSED:
        refused = await gateway.expect_error("POST", PATH, body=body)
        assert refused == (400, "invalid_request", param)
    assert not session.calls
    assert not inference.calls


async def test_unsuitable_headers_are_rejected(gateway: Gateway) -> None:
    of_another = {"metadata": {"session_id": another_id()}}
    for headers, changes, param in (
        ({"parley_session_id": "x"}, {}, "Parley-Session-Id"),
        ({"parley_session_id": str(SESSION_ID)}, of_another, "Parley-Session-Id"),
    ):
        refused = await gateway.expect_error(
            "POST", PATH, body=completion_request(**changes), **headers
        )
        assert refused == (400, "invalid_request", param)


async def test_every_sentence_names_the_parameter(
    gateway: Gateway, session: FakeSessionService
) -> None:
    in_session = {"parley_session_id": str(SESSION_ID)}
    for body, headers in (
        *((body, {}) for body, _ in REFUSED),
        ({"model": "parley-demo", "messages": HELLO, "n": 2}, in_session),
        ({"model": "parley-demo", "messages": [USER | {"name": "ada"}]}, in_session),
        ({"model": "parley-demo", "messages": [USER, ASSISTANT]}, in_session),
    ):
        async with gateway.request("POST", PATH, body=body, **headers) as response:
            error = (await response.json())["error"]
            assert (response.status, error["param"] in error["message"]) == (400, True), error
    assert not session.calls


OTHERS = {
    "top_k": 40,
    "min_p": 0.05,
    "chat_template_kwargs": {"enable_thinking": False},
    "store": True,
    "service_tier": "flex",
    "modalities": ["text", "audio"],
    "web_search_options": {},
    "prompt_cache_retention": "24h",
}
SAMPLING = {
    "temperature": 0.2,
    "top_p": 0.5,
    "max_completion_tokens": 9,
    "stop": ["\n"],
    "seed": 7,
    "response_format": {"type": "json_object"},
    "reasoning_effort": "low",
    "user": "ada",
    "top_k": 40,
    "chat_template_kwargs": {"enable_thinking": False},
}


async def test_parameters_of_any_server_are_passed_on(
    gateway: Gateway, inference: Inference
) -> None:
    inference.script(raw(b"{}"))
    async with gateway.request(
        "POST", PATH, body=completion_request(**OTHERS, unset=None)
    ) as response:
        assert response.status == 200
    assert inference.calls[0].body == completion_request(**OTHERS)


async def test_parameters_that_the_operator_rejects_are_named_unless_they_ask_for_nothing(
    start: Callable[..., Awaitable[Gateway]], inference: Inference
) -> None:
    gateway = await start(rejected_parameters="store, service_tier,top_k")
    for changes in ({"store": True}, {"service_tier": "priority"}, {"top_k": 1}):
        for headers in ({}, {"parley_session_id": str(SESSION_ID)}):
            refused = await gateway.expect_error(
                "POST", PATH, body=completion_request(**changes), **headers
            )
            assert refused == (400, "unsupported_parameter", *changes)
    inference.script(raw(b"{}"))
    neutral = {"store": False, "service_tier": "auto", "top_k": None}
    async with gateway.request("POST", PATH, body=completion_request(**neutral, min_p=1)) as done:
        assert done.status == 200
    assert inference.calls[0].body == completion_request(min_p=1)


async def test_sampling_parameters_are_taken_for_the_turn(
    gateway: Gateway, session: FakeSessionService, inference: Inference
) -> None:
    inference.script(lambda: sse.ended(session.end("Hi")))
    neutral = {"n": 1, "tools": [], "tool_choice": "auto", "logprobs": False, "top_p": None}
    async with gateway.request(
        "POST",
        PATH,
        body=completion_request(**neutral | SAMPLING),
        parley_session_id=str(SESSION_ID),
    ) as response:
        assert response.status == 200, await response.text()
    assert session.calls[0].body == {
        "content": "Hello?",
        "model": "parley-demo",
        "parameters": SAMPLING,
    }


@pytest.mark.parametrize(
    "changes",
    [
        {"n": 2},
        {"logprobs": True},
        {"top_logprobs": 3},
        {"tools": [{}]},
        {"tool_choice": "required"},
        {"functions": [{}]},
        {"modalities": ["text", "audio"]},
        {"audio": {"voice": "x"}},
        {"web_search_options": {}},
        {"stop": "x" * 17_000},
        {"min_p": 1, "chat_template_kwargs": {"x": "x" * 17_000}},
    ],
)
async def test_parameters_that_a_turn_does_not_support_are_rejected(
    gateway: Gateway, session: FakeSessionService, changes: Any
) -> None:
    refused = await gateway.expect_error(
        "POST", PATH, body=completion_request(**changes), parley_session_id=str(SESSION_ID)
    )
    assert (refused[0], refused[2]) == (400, [*changes][-1])
    assert not session.calls


def test_null_equals_absence() -> None:
    named = {"model", "messages", "stream", "stream_options", "metadata"}
    nothing = dict.fromkeys(set(CreateChatCompletion.model_fields) - named)
    assert ParameterSupport(frozenset()).turn_parameters(shape(**nothing)) == {}


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        ([{"role": "system", "content": "Be brief."}, USER], "messages.0.role"),
        ([{"role": "developer", "content": ""}, USER, ASSISTANT, USER], "messages.0.role"),
        ([USER, {"role": "tool", "content": "3"}], "messages.1.role"),
        ([USER, ASSISTANT], "messages"),
        ([USER] * 22, "messages"),
        ([USER, {"role": "user", "content": ""}], "messages.1.content"),
        ([{"role": "user"}], "messages.0.content"),
        ([{"role": "user", "content": []}], "messages.0.content"),
        ([USER | {"name": "ada"}], "messages.0.name"),
        (
            [{"role": "user", "content": [{"type": "input_audio"}]}],
            "messages.0.content.0.type",
        ),
        (
            [{"role": "user", "content": [{"type": "text", "text": None}]}],
            "messages.0.content.0.text",
        ),
    ],
)
def test_an_unsupported_message_is_named_by_its_index(messages: Any, param: Any) -> None:
    assert refused_of(messages) == (400, param)


def test_each_message_is_limited_in_size() -> None:
    large = {"role": "user", "content": "é" * 200_000}
    assert refused_of([USER, large, USER]) == (413, "messages.1.content")


def test_at_most_21_messages_are_new() -> None:
    messages = [{"role": "user", "name": None, "content": str(number)} for number in range(21)]
    messages_given = [CompletionMessage.model_validate(one) for one in (USER, ASSISTANT, *messages)]
    assert new_texts(messages_given) == [str(number) for number in range(21)]

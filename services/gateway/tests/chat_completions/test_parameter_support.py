"""Parameters of chat completions: unsupported ones are named before any call."""

import json
from typing import Any

import pytest
from gateway_fakes.gateway import SESSION_ID, Gateway, another_id
from gateway_fakes.inference import Inference
from gateway_fakes.openai_client import HELLO

from parley_core.http.errors import ParleyError
from parley_gateway.chat_completions.new_messages import new_texts
from parley_gateway.chat_completions.parameter_support import (
    check_supported,
    check_supported_in_session,
)
from parley_gateway.chat_completions.schemas import CompletionMessage, CreateChatCompletion
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
    (completion_request(top_k=7), "top_k"),
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
        ({"idempotency_key": "k"}, {}, "Idempotency-Key"),
    ):
        refused = await gateway.expect_error(
            "POST", PATH, body=completion_request(**changes), **headers
        )
        assert refused == (400, "invalid_request", param)


async def test_a_parameter_unsupported_in_a_session_is_rejected(
    gateway: Gateway, session: FakeSessionService
) -> None:
    body = completion_request(temperature=0.2)
    async with gateway.request(
        "POST", PATH, body=body, parley_session_id=str(SESSION_ID)
    ) as response:
        error = (await response.json())["error"]
        assert (response.status, error["code"], error["param"]) == (
            400,
            "unsupported_parameter",
            "temperature",
        )
        assert error["message"].startswith("Not supported in a session.")


@pytest.mark.parametrize(
    "changes",
    [
        {"store": True},
        {"service_tier": "flex"},
        {"modalities": ["text", "audio"]},
        {"audio": {"voice": "x"}},
        {"web_search_options": {}},
    ],
)
def test_an_unsupported_parameter_is_named(changes: Any) -> None:
    with pytest.raises(ParleyError) as refused:
        check_supported(shape(**changes))
    assert [refused.value.param] == list(changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"top_p": 0.5},
        {"max_completion_tokens": 9},
        {"tools": [{}]},
        {"tool_choice": "required"},
        {"response_format": {"type": "json_object"}},
        {"stop": "x"},
        {"seed": 0},
        {"n": 2},
        {"logprobs": True},
        {"reasoning_effort": "low"},
    ],
)
def test_model_server_parameters_are_rejected_in_a_session(changes: Any) -> None:
    check_supported(shape(**changes))
    with pytest.raises(ParleyError) as refused:
        check_supported_in_session(shape(**changes))
    assert [refused.value.param] == list(changes)


def test_null_and_default_values_are_accepted_in_a_session() -> None:
    named = {"model", "messages", "stream", "stream_options", "metadata"}
    nothing = dict.fromkeys(set(CreateChatCompletion.model_fields) - named)
    defaults = {
        "n": 1,
        "store": False,
        "service_tier": "auto",
        "modalities": ["text"],
        "temperature": 1,
        "top_p": 1.0,
        "presence_penalty": 0,
        "tools": [],
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "response_format": {"type": "text"},
        "user": "ada",
    }
    for changes in (nothing, defaults):
        check_supported(shape(**changes))
        check_supported_in_session(shape(**changes))


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

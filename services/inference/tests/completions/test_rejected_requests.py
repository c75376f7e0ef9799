"""Requests that the model server rejects: what the caller gets, and what is logged."""

import asyncio
import json
from typing import Any

import pytest
from inference_fakes.completions import BODY, STREAMING_BODY
from inference_fakes.inference import KEY, Inference, Start
from inference_fakes.model_server import ErrorStatus, ModelServer, Stalls, chunk, event

from parley_testing.session_service import FakeSessionService

SECRET_WORDS = "the secret of Ada"


def rejection(status: int, **fields: Any) -> ErrorStatus:
    error = {"message": f"Quoting {SECRET_WORDS}.", "type": "invalid_request_error"} | fields
    return ErrorStatus(status, json.dumps({"error": error}))


async def answer(inference: Inference, body: Any) -> tuple[int, Any, Any]:
    """The status, headers and error."""
    async with inference.request("POST", "/completions", body=body) as response:
        return response.status, response.headers, (await response.json())["error"]


@pytest.mark.parametrize("body", [BODY, STREAMING_BODY])
@pytest.mark.parametrize(
    ("status", "fields"),
    [
        (400, {"param": "response_format", "code": "invalid_json_schema"}),
        (400, {"param": "messages.[0].content.[1].image_url", "code": "invalid_image_url"}),
        (413, {"param": None, "code": "request_too_large"}),
        (422, {"param": "top_k", "code": "extra_forbidden"}),
        (400, {"param": "messages", "code": "context_length_exceeded"}),
    ],
)
async def test_what_the_server_says_of_the_request_reaches_its_author(
    inference: Inference,
    model_server: ModelServer,
    caplog: pytest.LogCaptureFixture,
    body: Any,
    status: int,
    fields: Any,
) -> None:
    model_server.script(rejection(status, **fields))
    seen, headers, error = await answer(inference, body)
    assert (seen, headers["x-should-retry"]) == (status, "false")
    assert error == {
        "message": f"Quoting {SECRET_WORDS}.",
        "type": "invalid_request_error",
        **fields,
    }
    [line] = [each for each in caplog.messages if "failed" in each]
    assert f"status {status}, type invalid_request_error, code {fields['code']}" in line
    assert SECRET_WORDS not in caplog.text


@pytest.mark.parametrize(
    ("step", "status", "code"),
    [
        (rejection(401, code="invalid_api_key"), 502, "upstream_unauthorized"),
        (rejection(404, code="model_not_found"), 502, "upstream_model_not_found"),
        (rejection(429, code="insufficient_quota"), 429, "upstream_quota_exceeded"),
        (ErrorStatus(404, "<html>"), 502, "upstream_not_found"),
    ],
)
async def test_a_wrong_setting_of_the_operator_has_its_own_code_and_no_text_of_the_server(
    inference: Inference,
    model_server: ModelServer,
    caplog: pytest.LogCaptureFixture,
    step: ErrorStatus,
    status: int,
    code: str,
) -> None:
    model_server.script(step)
    seen, headers, error = await answer(inference, BODY)
    assert (seen, error["code"], headers["x-should-retry"]) == (status, code, "false")
    assert SECRET_WORDS not in error["message"]
    assert len(model_server.requests) == 1
    assert f"{code} (status {step.status}" in caplog.text


async def test_the_api_key_is_not_repeated(
    inference: Inference, model_server: ModelServer, caplog: pytest.LogCaptureFixture
) -> None:
    model_server.script(rejection(400, message=f"{KEY} is rejected", code=KEY))
    _, _, error = await answer(inference, BODY)
    assert KEY not in str(error)
    assert KEY not in caplog.text


async def test_a_large_or_endless_error_is_cut(
    inference: Inference, model_server: ModelServer
) -> None:
    model_server.script(ErrorStatus(400, "x" * 10_000_000), Stalls())
    async with asyncio.timeout(15):
        status, _, error = await answer(inference, BODY)
    assert status == 400
    assert len(error["message"]) < 65_536


async def test_an_overflow_within_the_stream_has_the_same_code(
    inference: Inference, model_server: ModelServer, session: FakeSessionService
) -> None:
    overflow = {"message": "maximum context length", "code": "400", "type": None, "param": None}
    model_server.script(event({"error": overflow}))
    assert (await answer(inference, STREAMING_BODY))[2]["code"] == "context_length_exceeded"

    model_server.script(chunk("half"), event({"error": overflow}))
    turn = session.open_turn()
    await inference.events(turn)
    assert session.called("fail")[0]["code"] == "context_length_exceeded"


@pytest.mark.parametrize(
    ("step", "code"),
    [
        (rejection(400, code="context_length_exceeded"), "context_length_exceeded"),
        (rejection(400, code="invalid_json_schema", param="response_format"), "upstream_refused"),
        (rejection(401, code="invalid_api_key"), "upstream_unauthorized"),
        (rejection(404, code="model_not_found"), "upstream_model_not_found"),
    ],
)
async def test_a_turn_names_the_cause_without_quoting_the_server(
    inference: Inference,
    model_server: ModelServer,
    session: FakeSessionService,
    caplog: pytest.LogCaptureFixture,
    step: ErrorStatus,
    code: str,
) -> None:
    turn = session.open_turn(SECRET_WORDS)
    model_server.script(step)
    await inference.events(turn)
    [body] = session.called("fail")
    assert body["code"] == code
    assert f"status {step.status}" in body["details"]
    assert json.loads(step.body)["error"]["code"] in body["details"]
    assert SECRET_WORDS not in body["details"]
    assert f"turn {turn.id}: model demo failed: {code}" in caplog.text
    assert SECRET_WORDS not in caplog.text


@pytest.mark.parametrize(
    ("headers", "retry_after"),
    [({}, None), ({"retry-after": "2.2"}, "3"), ({"retry-after": "0"}, "1")],
)
async def test_a_client_must_not_retry_what_was_tried_often_enough(
    inference: Inference, model_server: ModelServer, headers: dict[str, str], retry_after: str
) -> None:
    for _ in range(3):
        model_server.script(ErrorStatus(429, headers=headers))
    status, seen, _ = await answer(inference, BODY)
    assert (status, seen["x-should-retry"], seen.get("retry-after")) == (429, "false", retry_after)
    assert len(model_server.requests) == 3


async def test_a_client_may_retry_once_the_circuit_lets_a_trial_through(
    start: Start, model_server: ModelServer
) -> None:
    inference = await start(upstream={"circuit_failure_threshold": 2, "max_attempts": 2})
    for _ in range(2):
        model_server.script(ErrorStatus(500))
    assert (await answer(inference, BODY))[1]["x-should-retry"] == "false"
    status, headers, error = await answer(inference, BODY)
    assert (status, error["code"]) == (503, "upstream_unavailable")
    assert "x-should-retry" not in headers
    assert 1 <= int(headers["retry-after"]) <= 5
    assert len(model_server.requests) == 2

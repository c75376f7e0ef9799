"""Error responses as the common model servers word them, and the codes that they stand for."""

import json
from typing import Any

import pytest

from parley_inference.models.failures import error_for
from parley_inference.models.server_error import parse_server_error, parse_stream_error


def openai_error(message: str, **fields: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error"} | fields}


def code_of(status: int, body: Any) -> str:
    return error_for(parse_server_error(status, json.dumps(body).encode())).code


OVERFLOWS = [
    # OpenAI
    (400, openai_error("Too long.", param="messages", code="context_length_exceeded")),
    (400, openai_error("Your input exceeds the context window of this model. Please adjust it.")),
    (400, openai_error("Input tokens exceed the configured limit of 272000 tokens.")),
    # vLLM, with the fields at the top and in `error`
    (
        400,
        {
            "object": "error",
            "message": "This model's maximum context length is 8192 tokens. However, you requested "
            "9100 tokens (8000 in the messages, 1100 in the completion).",
            "type": "BadRequestError",
            "param": None,
            "code": 400,
        },
    ),
    (400, openai_error("The prompt (length 9301) is longer than the maximum model length")),
    # llama.cpp, now and before
    (
        400,
        {
            "error": {
                "code": 400,
                "message": "request (9412 tokens) exceeds the available context size (8192 tokens)",
                "type": "exceed_context_size_error",
                "n_prompt_tokens": 9412,
                "n_ctx": 8192,
            }
        },
    ),
    (500, {"error": {"code": 500, "message": "…", "type": "exceed_context_size_error"}}),
    (400, openai_error("Requested tokens (2285) exceed context window of 2048")),
    # Ollama
    (400, openai_error("the input length exceeds the context length", type="api_error")),
    (400, {"error": "prompt too long; exceeded max context length by 12 tokens"}),
    # LiteLLM
    (
        400,
        openai_error(
            "litellm.ContextWindowExceededError: litellm.BadRequestError: …", type=None, code="400"
        ),
    ),
    # Anthropic, Gemini, Text Generation Inference
    (400, {"type": "error", "error": {"type": "…", "message": "prompt is too long: 2 > 1"}}),
    (400, [{"error": {"code": 400, "message": "The input token count (9) exceeds the maximum "
                      "number of tokens allowed (8).", "status": "INVALID_ARGUMENT"}}]),
    (422, {"error": "`inputs` tokens + `max_new_tokens` must be <= 4096", "error_type": "x"}),
]  # fmt: skip


@pytest.mark.parametrize(("status", "body"), OVERFLOWS)
def test_a_prompt_beyond_the_context_is_recognised(status: int, body: Any) -> None:
    assert code_of(status, body) == "context_length_exceeded"


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (401, openai_error("Incorrect key.", code="invalid_api_key"), "upstream_unauthorized"),
        (403, openai_error("Forbidden"), "upstream_unauthorized"),
        (400, [{"error": {"code": 400, "message": "API key not valid."}}], "upstream_unauthorized"),
        (400, openai_error("Incorrect API key provided."), "upstream_unauthorized"),
        (404, openai_error("…", code="model_not_found"), "upstream_model_not_found"),
        (403, openai_error("No access.", code="model_not_found"), "upstream_model_not_found"),
        (
            404,
            {"message": "The model `x` does not exist.", "code": 404},
            "upstream_model_not_found",
        ),
        (
            404,
            openai_error('model "x" not found, try pulling it first'),
            "upstream_model_not_found",
        ),
        (404, {"detail": "Not Found"}, "upstream_not_found"),
        (405, {"detail": "Method Not Allowed"}, "upstream_not_found"),
        (402, openai_error("Insufficient Balance"), "upstream_quota_exceeded"),
        (429, openai_error("…", type="insufficient_quota"), "upstream_quota_exceeded"),
        (429, openai_error("…", code="rate_limit_exceeded"), "upstream_rate_limited"),
        (400, openai_error("…", code="content_filter"), "upstream_filtered"),
        (400, openai_error("Invalid schema for function 'get_api_key'."), "upstream_refused"),
        (400, openai_error("…", code="invalid_image_url"), "upstream_refused"),
        (500, openai_error("maximum context length"), "upstream_unavailable"),
        (503, "overloaded", "upstream_unavailable"),
    ],
)
def test_each_cause_has_a_code(status: int, body: Any, code: str) -> None:
    assert code_of(status, body) == code


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ({"code": 503}, 503),
        ({"code": "429", "message": "…"}, 429),
        ({"status": 400}, 400),
        ({"code": "context_length_exceeded"}, 400),
        ({"code": "insufficient_quota"}, 429),
        ({"code": "server_error"}, 500),
        ({"message": "…"}, 500),
        ({"code": "4" * 5_000}, 500),
        ("…", 500),
    ],
)
def test_an_error_within_a_stream_names_its_status(error: Any, status: int) -> None:
    assert parse_stream_error(json.dumps({"error": error}).encode()).status == status


def test_the_log_entry_of_a_failure_has_no_text() -> None:
    body = openai_error(
        "Invalid schema: the secret of Ada", code="invalid_json_schema", param="response_format"
    )
    answer = parse_server_error(400, json.dumps(body).encode())
    assert str(answer) == (
        "status 400, type invalid_request_error, code invalid_json_schema, param response_format"
    )
    assert repr(answer) == "ServerError(status=400)"
    for text in ("the secret of Ada", "é", "x" * 65, "a\nb", ""):
        named = parse_server_error(
            422, json.dumps(openai_error("…", type=text, code=text, param=text)).encode()
        )
        assert str(named) == "status 422"


@pytest.mark.parametrize("body", [b"", b"\xff", b"[]", b"[" * 100_000, b"null", b'{"error": []}'])
def test_any_body_is_parsed(body: bytes) -> None:
    assert str(parse_server_error(400, body)) == "status 400"
    assert str(parse_stream_error(body)).startswith("status 500")


def test_texts_can_be_sent_on() -> None:
    body = rb'{"error": {"message": "\ud800a", "type": "\ud800", "param": "b\udc00"}}'
    answer = parse_server_error(400, body)
    assert (answer.message, answer.type, answer.param) == ("?a", "?", "b?")


def test_the_page_of_a_proxy_is_no_message() -> None:
    assert parse_server_error(400, b"<html>Bad Request</html>").message == ""
    assert (
        parse_server_error(400, b"Failed to parse the body\n").message == "Failed to parse the body"
    )
    detail = [{"type": "extra_forbidden", "loc": ["body", "store"]}]
    body = json.dumps({"detail": detail}).encode()
    assert json.loads(parse_server_error(422, body).message) == detail

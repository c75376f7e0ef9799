"""The event loop's work for the largest requests is proportional to their size."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from gateway_fakes.gateway import SESSION_ID, Gateway
from gateway_fakes.inference import Inference
from gateway_fakes.issuer import token

from parley_contracts import turn_sse as sse
from parley_contracts.api_models import UsageShape
from parley_gateway.api import examples
from parley_testing.fake_service import raw
from parley_testing.session_service import FakeSessionService

MESSAGES = f"/v1/sessions/{SESSION_ID}/messages"
HISTORY = f"/v1/history/{SESSION_ID}"
COMPLETIONS = "/v1/chat/completions"
SESSIONS = "/v1/sessions"
LARGEST, LARGEST_CONVERSATION = 1_500_000, 4_000_000
# No request may hold the event loop for longer; below it, other work of the thread decides.
UNNOTICED_SECONDS = 0.05
CHAT = b'{"model":"m","messages":[{"role":"user","content":"a"}],'
RECORD = b'{"role":"user","content":"a",' + b",".join(b'"k%d":0' % n for n in range(480)) + b"}"


def _filled(
    before: bytes, unit: bytes, after: bytes, separator: bytes = b","
) -> Callable[[int], bytes]:
    return lambda size: before + separator.join([unit] * (size // len(unit + separator))) + after


def _distinct_keys(size: int) -> bytes:
    return b"{" + b",".join(b'"k%07d":0' % n for n in range(size // 12)) + b"}"


# Each body is refused with 400 in the end, so that the work is the gateway's alone.
BODIES = {
    "unknown keys": (MESSAGES, LARGEST, _distinct_keys),
    "a repeated key": (MESSAGES, LARGEST, _filled(b"{", b'"k":0', b"}")),
    "deep nesting": (MESSAGES, LARGEST, _filled(b'{"content":', b"[", b"", b"")),
    "many digits": (MESSAGES, LARGEST, _filled(b'{"content":', b"9", b"}", b"")),
    "digits of an integer": ("/v1/search", LARGEST, _filled(b'{"limit":', b"9", b"}", b"")),
    "many numbers": (MESSAGES, LARGEST, _filled(b'{"content":[', b"1", b"]}")),
    "text of commas": (MESSAGES, LARGEST, _filled(b'{"x":"', b",", b'"}', b"")),
    "text of brackets and escapes": (MESSAGES, LARGEST, _filled(b'{"x":"', b'[\\"{', b'"}', b"")),
    "text of surrogates": (MESSAGES, LARGEST, _filled(b'{"x":"', b"\\ud83d\\ude00", b'"}', b"")),
    "metadata of numbers": (SESSIONS, LARGEST, _filled(b'{"metadata":{', b'"":1', b"}}")),
    "metadata of texts": (SESSIONS, LARGEST, _filled(b'{"metadata":{', b'"":""', b"}}")),
    "records of unknown keys": (
        HISTORY,
        LARGEST_CONVERSATION,
        _filled(b'{"messages":[', RECORD, b"]}"),
    ),
    "empty records": (HISTORY, LARGEST_CONVERSATION, _filled(b'{"messages":[', b"{}", b"]}")),
    "messages": (COMPLETIONS, LARGEST_CONVERSATION, _filled(b'{"messages":[', b"1", b"]}")),
    "modalities": (
        COMPLETIONS,
        LARGEST_CONVERSATION,
        _filled(CHAT + b'"modalities":[', b"1", b"]}"),
    ),
    "logit bias": (
        COMPLETIONS,
        LARGEST_CONVERSATION,
        _filled(CHAT + b'"logit_bias":{', b'"":""', b"}}"),
    ),
    "tools": (COMPLETIONS, LARGEST_CONVERSATION, _filled(CHAT + b'"tools":[', b"{}", b"]}")),
}
HEADERS: dict[str, Callable[[int], dict[str, str]]] = {
    "authorization": lambda size: {"authorization": "Bearer " + "a" * size},
    "authorization of parts": lambda size: {"authorization": "Bearer " + "a." * (size // 2)},
    "cookie": lambda size: {"cookie": "a=;" * (size // 3)},
    "last-event-id": lambda size: {"last-event-id": "1" * size},
    "if-none-match": lambda size: {"if-none-match": '"1",' * (size // 4)},
    "idempotency-key": lambda size: {"idempotency-key": "a" * size},
    "many fields": lambda size: {f"x-{n}": "" for n in range(size // 16)},
}


async def _least_cpu_seconds(request: Callable[[], object]) -> float:
    """CPU time of this thread, whose event loop runs the gateway; the least of five requests."""
    taken = []
    for _ in range(5):
        before = time.thread_time()
        await request()  # type: ignore[misc]
        taken.append(time.thread_time() - before)
    return min(taken)


@pytest.mark.parametrize("name", BODIES)
async def test_the_work_for_a_body_is_proportional_to_its_size(gateway: Gateway, name: Any) -> None:
    path, largest, body_of = BODIES[name]

    async def seconds(size: int) -> float:
        body = body_of(size)

        async def request() -> None:
            status, _, _ = await gateway.expect_error("POST", path, body=body)
            assert status == 400

        return await _least_cpu_seconds(request)

    assert await seconds(largest) < 3 * await seconds(largest // 2) + UNNOTICED_SECONDS


@pytest.mark.parametrize("name", HEADERS)
async def test_the_work_for_a_header_is_proportional_to_its_size(
    gateway: Gateway, session: FakeSessionService, name: Any
) -> None:
    path = f"/v1/turns/{SESSION_ID}/stream"

    async def seconds(size: int) -> float:
        headers = HEADERS[name](size)

        async def request() -> None:
            sent = {"authorization": f"Bearer {token()}"} | headers
            async with gateway.http.get(gateway.url + path, headers=sent) as response:
                assert response.status in (400, 401, 404, 431)

        return await _least_cpu_seconds(request)

    assert await seconds(60_000) < 3 * await seconds(30_000) + UNNOTICED_SECONDS


@pytest.mark.parametrize("separator", ["a=1&", "&", "starting_after=1&"])
async def test_the_work_for_a_query_string_is_proportional_to_its_size(
    gateway: Gateway, separator: Any
) -> None:
    path = f"/v1/turns/{SESSION_ID}/stream?ticket=x&"

    async def seconds(size: int) -> float:
        url = path + separator * (size // len(separator))

        async def request() -> None:
            refused = await gateway.expect_error("GET", url)
            assert refused == (400, "invalid_request", "query")

        return await _least_cpu_seconds(request)

    assert await seconds(60_000) < 3 * await seconds(30_000) + UNNOTICED_SECONDS


@pytest.mark.parametrize("path", [MESSAGES, HISTORY, COMPLETIONS, SESSIONS, "/v1/search"])
async def test_over_15_000_json_values_or_20_000_of_an_import_are_refused(
    gateway: Gateway, session: FakeSessionService, path: Any
) -> None:
    values = 20_000 if path == HISTORY else 15_000
    body = b'{"x":[' + b",".join([b"1"] * values) + b"]}"
    assert await gateway.expect_error("POST", path, body=body) == (400, "invalid_request", None)
    assert session.calls == []


async def test_a_thousand_exported_messages_are_not_too_many_json_values(
    gateway: Gateway, session: FakeSessionService
) -> None:
    usage = UsageShape(prompt_tokens=1, completion_tokens=1, total_tokens=2)
    shape = examples.TURN.message.model_copy(
        update={"model": "m", "finish_reason": "stop", "error_code": "x", "usage": usage}
    )
    messages = [json.loads(shape.to_json())] * 1_000
    metadata = {f"key {number}": "" for number in range(16)}
    described = json.loads(examples.SESSION.to_json()) | {"metadata": metadata}
    exported = {"object": "session_export", "session": described, "messages": messages}
    session.answers.append(raw(b"{}"))
    assert (await gateway.post(HISTORY, exported))[0] == 200
    assert session.calls[0].body == exported


async def test_text_may_have_any_number_of_separators(
    gateway: Gateway, session: FakeSessionService, inference: Inference
) -> None:
    inference.script(lambda: sse.ended(session.end("")))
    content = '{["\\,' * 37_000
    assert (await gateway.submit(content))[0] == 200


async def test_32_query_parameters_are_parsed(gateway: Gateway) -> None:
    query = "&".join(f"p{n}=" for n in range(32))
    refused = await gateway.expect_error("GET", f"/v1/sessions?{query}")
    assert refused == (400, "invalid_request", "p0")
    refused = await gateway.expect_error("GET", f"/v1/sessions?{query}&x=")
    assert refused == (400, "invalid_request", "query")

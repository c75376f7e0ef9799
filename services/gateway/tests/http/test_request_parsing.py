"""Invalid requests are rejected by the gateway and reach no service."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any
from urllib.parse import quote

import pytest
from gateway_fakes.gateway import SESSION_ID, Gateway
from gateway_fakes.history import History
from gateway_fakes.inference import Inference, Stalls
from gateway_fakes.issuer import token

from parley_contracts.session_api.limits import MAX_MESSAGE_BYTES
from parley_testing.fake_service import raw
from parley_testing.session_service import FakeSessionService

MESSAGES = f"/v1/sessions/{SESSION_ID}/messages"
SESSION = f"/v1/sessions/{SESSION_ID}"
HISTORY = f"/v1/history/{SESSION_ID}"
MESSAGE = {"role": "user", "content": "a"}
TOMORROW = quote((datetime.now(UTC) + timedelta(days=1)).isoformat())
# Python's int() or pydantic take all of them for numbers. In a query, `+` is a space.
ODD_NUMBERS = ("1.0", "1e0", "+5", "%2B5", "%205", "5%20", "05", "1_0", "%D9%A5", "0x5")
DEEP = b'{"content":' + b"[" * 100_000


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        (MESSAGES, b"{", None),
        (MESSAGES, b"\xff", None),
        (MESSAGES, b'{"content": "\xed\xa0\x80"}', None),
        (MESSAGES, b'{"content": "\\ud800"}', None),
        (MESSAGES, b'{"content": "a", "\\udfff": 1}', None),
        (MESSAGES, DEEP, None),
        (MESSAGES, [], "body"),
        (MESSAGES, b"null", "body"),
        (MESSAGES, {}, "content"),
        (MESSAGES, b"", "content"),
        (MESSAGES, {"content": ""}, "content"),
        (MESSAGES, {"content": None}, "content"),
        (MESSAGES, {"content": 1}, "content"),
        (MESSAGES, {"content": ["a"]}, "content"),
        (MESSAGES, {"content": "a", "stream": "yes"}, "stream"),
        (MESSAGES, {"content": "a", "stream": None}, "stream"),
        (MESSAGES, {"content": "a", "model": "x"}, "model"),
        (MESSAGES, {"content": "a", "parent_message_id": "x"}, "parent_message_id"),
        (f"{SESSION}/regenerate", {"message_id": "x"}, "message_id"),
        (f"{SESSION}/regenerate", {"content": "a"}, "content"),
        (f"{SESSION}/regenerate", {"stream": True, "background": True}, "background"),
        (f"{SESSION}/fork", {"message_id": "x"}, "message_id"),
        (f"{SESSION}/fork", {"stream": True}, "stream"),
        (f"{SESSION}/restore", {"x": 1}, "x"),
        ("/v1/search", {}, "query"),
        ("/v1/search", {"query": ""}, "query"),
        ("/v1/search", {"query": "a" * 501}, "query"),
        ("/v1/search", {"query": "a", "limit": 101}, "limit"),
        ("/v1/search", {"query": "a", "limit": "5"}, "limit"),
        ("/v1/search", b'{"query": "a", "limit": 1.0}', "limit"),
        ("/v1/search", b'{"query": "a", "limit": 1e0}', "limit"),
        ("/v1/assistants", {"id": "A", "name": "A", "instructions": "Be."}, "id"),
        ("/v1/assistants", {"id": "a", "name": "A"}, "instructions"),
        ("/v1/sessions", {"id": "x"}, "id"),
        ("/v1/sessions", {"id": SESSION_ID.hex}, "id"),
        ("/v1/sessions", {"id": f"urn:uuid:{SESSION_ID}"}, "id"),
        ("/v1/sessions", {"id": 7}, "id"),
        ("/v1/sessions", {"assistant_id": ""}, "assistant_id"),
        ("/v1/sessions", {"assistant_id": "a" * 201}, "assistant_id"),
        ("/v1/sessions", {"title": "a" * 201}, "title"),
        ("/v1/sessions", {"titel": "a"}, "titel"),
        ("/v1/sessions", {"metadata": []}, "metadata"),
        ("/v1/sessions", {"metadata": {"k": 1}}, "metadata.k"),
        ("/v1/sessions", {"metadata": {"k": "v" * 513}}, "metadata.k"),
        ("/v1/sessions", {"metadata": {str(n): "v" for n in range(17)}}, "metadata"),
        ("/v1/switch-assistant", {}, "assistant_id"),
        ("/v1/switch-assistant", {"assistant_id": "a", "x": 1}, "x"),
    ],
)
async def test_an_invalid_body_is_a_400_that_names_the_field(
    gateway: Gateway, session: FakeSessionService, path: Any, body: Any, param: Any
) -> None:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    assert await gateway.expect_error("POST", path, body=data) == (400, "invalid_request", param)
    assert session.calls == []


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        (SESSION, {}, None),
        (SESSION, {"title": "a" * 201}, "title"),
        (SESSION, {"metadata": None}, "metadata"),
        (SESSION, {"archived": None}, "archived"),
        (SESSION, {"legal_hold": "yes"}, "legal_hold"),
        (SESSION, {"assistant_id": "coder"}, "assistant_id"),
        ("/v1/assistants/helper", {}, None),
        ("/v1/assistants/helper", {"id": "other"}, "id"),
        ("/v1/assistants/helper", {"name": None}, "name"),
        ("/v1/assistants/Helper", {"name": "a"}, "assistant_id"),
        ("/v1/assistants/a%20b", {"name": "a"}, "assistant_id"),
    ],
)
async def test_an_invalid_change_is_a_400_that_names_the_field(
    gateway: Gateway, session: FakeSessionService, path: Any, body: Any, param: Any
) -> None:
    assert await gateway.expect_error("PATCH", path, body=body) == (400, "invalid_request", param)
    assert session.calls == []


# Of the test's own client.
@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
async def test_an_import_has_at_most_4_mib(gateway: Gateway, session: FakeSessionService) -> None:
    session.answers.append(raw(b"{}"))
    large = {"messages": [{"role": "user", "content": "a" * 250_000}] * 15}
    assert (await gateway.post(HISTORY, large))[0] == 200
    more = {"messages": large["messages"] * 2}
    assert await gateway.expect_error("POST", HISTORY, body=more) == (413, "body_too_large", None)
    assert len(session.calls) == 1


@pytest.mark.parametrize("key", ["", "k" * 65])
async def test_metadata_keys_are_bounded(gateway: Gateway, key: Any) -> None:
    status, code, param = await gateway.expect_error(
        "POST", "/v1/sessions", body={"metadata": {key: "v"}}
    )
    assert (status, code) == (400, "invalid_request")
    assert param is not None
    assert param.startswith("metadata")


async def test_an_error_quotes_no_input(gateway: Gateway) -> None:
    body = {"content": {"secret words": "secret words"}, "stream": "secret words"}
    async with gateway.request("POST", MESSAGES, body=body) as answer:
        assert "secret" not in await answer.text()


@pytest.mark.parametrize(
    ("path", "param"),
    [
        ("/v1/sessions/x", "session_id"),
        (f"/v1/sessions/{SESSION_ID.hex}", "session_id"),
        ("/v1/history/%00", "session_id"),
        (f"{HISTORY}?limit=0", "limit"),
        (f"{HISTORY}?limit=101", "limit"),
        (f"{HISTORY}?limit=x", "limit"),
        *((f"{HISTORY}?limit={number}", "limit") for number in ODD_NUMBERS),
        *((f"{HISTORY}?min_version={number}", "min_version") for number in ODD_NUMBERS),
        *((f"{HISTORY}?as_of={number}", "as_of") for number in ODD_NUMBERS),
        *((f"/v1/usage?limit={number}", "limit") for number in ODD_NUMBERS),
        *((f"/v1/assistants?limit={number}", "limit") for number in ODD_NUMBERS),
        (f"{HISTORY}?order=up", "order"),
        (f"{HISTORY}?after=x", "after"),
        (f"{HISTORY}?before=x", "before"),
        (f"{HISTORY}?min_version=0", "min_version"),
        (f"{HISTORY}?min_version={2**31}", "min_version"),
        (f"{HISTORY}?limit=1&limit=2", "limit"),
        (f"{HISTORY}?after={SESSION_ID}&before={SESSION_ID}", "before"),
        (f"{HISTORY}?as_of=0", "as_of"),
        (f"{HISTORY}?as_of={2**31}", "as_of"),
        (f"{HISTORY}?as_of=yesterday", "as_of"),
        (f"{HISTORY}?as_of=2026-01-01T00:00:00", "as_of"),
        (f"{HISTORY}?as_of={TOMORROW}", "as_of"),
        (f"{HISTORY}?leaf=x", "leaf"),
        (f"{HISTORY}?branches=some", "branches"),
        ("/v1/sessions?limit=-1", "limit"),
        ("/v1/sessions?archived=maybe", "archived"),
        ("/v1/sessions?updated_after=2026", "updated_after"),
        ("/v1/sessions?seen=x", "seen"),
        ("/v1/export?format=docx", "format"),
        (f"{SESSION}/export?format=", "format"),
        ("/v1/sessions/x/export", "session_id"),
        ("/v1/usage?start=2026-02-30", "start"),
        ("/v1/usage?end=20261124", "end"),
        ("/v1/usage?end=2026-11-24T00:00:00Z", "end"),
        ("/v1/usage?group_by=tenant", "group_by"),
        ("/v1/usage?session_id=x", "session_id"),
        ("/v1/usage?user=", "user"),
        ("/v1/usage?limit=101", "limit"),
        ("/v1/usage?order=asc", "order"),
    ],
)
async def test_an_invalid_path_or_query_is_a_400_that_names_the_parameter(
    gateway: Gateway, history: History, path: Any, param: Any
) -> None:
    assert await gateway.expect_error("GET", path) == (400, "invalid_request", param)
    assert history.calls == []


async def test_an_invalid_session_id_in_the_path_of_a_message_is_a_400(gateway: Gateway) -> None:
    refused = await gateway.expect_error("POST", "/v1/sessions/x/messages", body={"content": "a"})
    assert refused == (400, "invalid_request", "session_id")


@pytest.mark.parametrize("key", ["k" * 256, "a b", "ä", ""])
async def test_an_idempotency_key_must_be_visible_ascii_of_bounded_length(
    gateway: Gateway, session: FakeSessionService, key: Any
) -> None:
    for path in ("/v1/sessions", MESSAGES, "/v1/switch-assistant"):
        refused = await gateway.expect_error("POST", path, body={}, idempotency_key=key)
        assert refused == (400, "invalid_request", "Idempotency-Key")
    assert session.calls == []


async def test_two_idempotency_keys_are_rejected(
    gateway: Gateway, session: FakeSessionService
) -> None:
    keys = [("authorization", f"Bearer {token()}"), *[("idempotency-key", key) for key in "ab"]]
    async with gateway.http.post(f"{gateway.url}/v1/sessions", headers=keys) as response:
        error = (await response.json())["error"]
    assert (response.status, error["param"]) == (400, "Idempotency-Key")
    assert session.calls == []


@pytest.mark.parametrize("letter", ["a", "é", "😀"])
async def test_a_message_over_256_kib_of_utf8_is_a_413(
    gateway: Gateway, session: FakeSessionService, inference: Inference, letter: Any
) -> None:
    fits = letter * (MAX_MESSAGE_BYTES // len(letter.encode()))
    body = {"content": fits + letter}
    refused = await gateway.expect_error("POST", MESSAGES, body=body)
    assert refused == (413, "message_too_large", "content")
    assert session.calls == []
    session.answers.append(raw(b"{}"))
    status, answer = await gateway.post(MESSAGES, {"content": fits})
    assert (status, answer["error"]["code"]) == (503, "session_unavailable")
    assert session.calls[0].body == {"content": fits}


async def test_an_oversized_body_is_a_413_before_it_is_buffered(gateway: Gateway) -> None:
    async with gateway.http.post(
        gateway.url + MESSAGES, data=BytesIO(b" " * 2_000_000), headers=authorization()
    ) as answer:
        assert answer.status == 413
        assert (await answer.json())["error"]["code"] == "body_too_large"


async def test_a_body_that_does_not_arrive_is_a_408(
    start: Callable[..., Awaitable[Gateway]],
) -> None:
    gateway = await start(constants={"http.request_parsing.BODY_TIMEOUT_SECONDS": 0.05})

    async def never_ends() -> AsyncIterator[Any]:
        yield b'{"content":'
        await asyncio.Event().wait()

    async with gateway.http.post(
        gateway.url + MESSAGES, data=never_ends(), headers=authorization()
    ) as answer:
        assert answer.status == 408
        assert (await answer.json())["error"]["code"] == "request_timeout"


def authorization() -> Any:
    return {"authorization": f"Bearer {token()}"}


async def test_unusual_unicode_is_forwarded_unchanged(
    gateway: Gateway, session: FakeSessionService, inference: Inference
) -> None:
    inference.script(Stalls())
    content = "\x00 \ufffe 👩‍👩‍👧 \u202e \U0010ffff"
    async with gateway.stream(content) as stream:
        await stream.event()
    assert session.calls[0].body == {"content": content}

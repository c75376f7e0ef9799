"""Where a request comes from, as services pass it on."""

from contextvars import copy_context

import pytest
from starlette.requests import Request

from parley_core.auth.principal import Credential, Principal
from parley_core.auth.request_origin import MAX_TOKEN_ID_LENGTH, origin_headers, origin_of
from parley_core.runtime.request_context import begin_request


def passed_on(token_id: str | None, address: str | None = None) -> tuple[str | None, str | None]:
    def headers_of_request() -> dict[str, str]:
        begin_request("req-1", address)
        return origin_headers(Principal("default", "ada", credential=Credential(token_id)))

    sent = copy_context().run(headers_of_request)
    headers = [(name.encode("ascii"), text.encode("ascii")) for name, text in sent.items()]
    assert not any(byte in text for _, text in headers for byte in b"\r\n")
    return origin_of(Request({"type": "http", "headers": headers}))


@pytest.mark.parametrize("token_id", ["t-1", "a b%2F", "é模型", "x\r\nauthorization: y", ""])
def test_the_id_of_a_token_arrives_as_it_is(token_id: str) -> None:
    assert passed_on(token_id, "2001:db8::1") == ("2001:db8::1", token_id)


def test_what_no_event_can_store_is_left_out_of_the_id() -> None:
    assert passed_on("a\0b\ud800") == (None, "ab?")
    assert passed_on("x" * 1_000) == (None, "x" * MAX_TOKEN_ID_LENGTH)


def test_nothing_is_passed_on_of_a_request_without_token_and_address() -> None:
    assert passed_on(None) == (None, None)

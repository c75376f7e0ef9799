from uuid import UUID

import msgspec
import pytest
from msgspec.json import decode, encode

from parley_contracts.session_api.keys import (
    InvalidKeysResponse,
    Person,
    decode_data_keys_response,
    decode_search_keys_response,
    encode_search_keys_request,
)
from parley_contracts.session_api.requests import TokenUsage
from parley_contracts.session_api.turns import (
    ClaimTurnRequest,
    ClaimTurnResponse,
    RecordCompletionRequest,
    SubmitMessageRequest,
)

ID = UUID("019a5b1e-0000-7000-8000-000000000001")
SECRET = bytes(range(32))


def test_defaults_are_left_out_of_an_encoded_request() -> None:
    assert encode(SubmitMessageRequest("hi")) == b'{"content":"hi"}'


def test_a_null_parent_differs_from_an_absent_one() -> None:
    assert decode(b'{"content":"hi"}', type=SubmitMessageRequest).parent_message_id is msgspec.UNSET
    with_null = decode(b'{"content":"hi","parent_message_id":null}', type=SubmitMessageRequest)
    assert with_null.parent_message_id is None


def test_subclasses_of_request_reject_unknown_fields() -> None:
    with pytest.raises(msgspec.ValidationError, match="unknown field"):
        decode(encode({"runner": ID, "more": 1}), type=ClaimTurnRequest)


def test_responses_accept_fields_of_a_later_version() -> None:
    body = {"claimed": False, "turn": {"id": "t"}, "run": None, "key": None, "more": 1}
    assert decode(encode(body), type=ClaimTurnResponse).claimed is False


def test_usage_is_required_of_a_completion() -> None:
    body = {"id": ID, "model": "demo", "status": "cut"}
    with pytest.raises(msgspec.ValidationError, match="usage"):
        decode(encode(body), type=RecordCompletionRequest)
    usage = {"prompt_tokens": 1, "completion_tokens": 2}
    assert decode(encode(body | {"usage": usage}), type=RecordCompletionRequest).usage == (
        TokenUsage(1, 2)
    )


def test_data_keys_are_base64_on_the_wire_and_null_once_erased() -> None:
    keys = decode_data_keys_response(encode({"keys": {str(ID): SECRET}}))
    assert (key := keys[ID]) is not None
    assert key.secret == SECRET
    assert decode_data_keys_response(encode({"keys": {str(ID): None}})) == {ID: None}


@pytest.mark.parametrize("body", [b"", b"{}", b'{"keys":{"x":null}}', b'{"keys":[{"key":"AA=="}]}'])
def test_a_malformed_keys_response_is_not_quoted(body: bytes) -> None:
    for decode_keys in (decode_data_keys_response, decode_search_keys_response):
        with pytest.raises(InvalidKeysResponse, match=r"^The keys cannot be decoded\.$"):
            decode_keys(body)


def test_search_keys_are_requested_and_answered_by_person() -> None:
    ada = Person("default", "ada")
    assert encode_search_keys_request([ada]) == b'{"people":[{"tenant":"default","user":"ada"}]}'
    body = {"keys": [{"tenant": "default", "user": "ada", "key": SECRET}]}
    assert (key := decode_search_keys_response(encode(body))[ada]) is not None
    assert key.secret == SECRET

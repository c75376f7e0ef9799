from uuid import uuid4

import pytest

from parley_contracts.session_api.sessions import StartSessionRequest
from parley_contracts.session_api.turns import SubmitMessageRequest
from parley_core.auth.principal import Principal
from parley_core.crypto.sealing import DataKey
from parley_core.http.errors import IdempotencyKeyReused, InvalidRequest
from parley_session.application.idempotency import IdempotentRequest, idempotent_request

ADA = Principal("default", "ada")
KEY = DataKey.generate()


def request(
    principal: Principal = ADA,
    method: str = "POST",
    path: str = "/sessions",
    key: str | None = "k1",
    body: object = None,
) -> IdempotentRequest:
    keyed = idempotent_request(principal, method, path, key, body)
    assert keyed is not None
    return keyed


def test_a_request_without_a_key_is_not_idempotent() -> None:
    assert idempotent_request(ADA, "POST", "/sessions", None, {}) is None


def test_equal_requests_have_the_same_digest_and_derived_id() -> None:
    assert request().digest == request(body="other").digest
    assert request().session_id(KEY) == request(body="other").session_id(KEY)
    assert request().session_id(KEY).version == 8


def test_a_derived_id_cannot_be_computed_without_the_installation_key() -> None:
    assert request().session_id(KEY) != request().session_id(DataKey.generate())


@pytest.mark.parametrize(
    "other",
    [
        request(Principal("default", "eve")),
        request(Principal("other", "ada")),
        request(method="PATCH"),
        request(path="/sessions/x"),
        request(key="k2"),
    ],
)
def test_person_method_path_and_key_identify_a_request(other: IdempotentRequest) -> None:
    assert other.digest != request().digest
    assert other.session_id(KEY) != request().session_id(KEY)


def test_the_boundaries_between_the_parts_are_unambiguous() -> None:
    parted = [Principal("a", "bc"), Principal("ab", "c"), Principal('a","b', "c")]
    joined = [request(principal).digest for principal in parted]
    joined.append(request(Principal("a", 'b","c')).digest)
    joined += [request(path="/a", key="bc").digest, request(path="/ab", key="c").digest]
    assert len(set(joined)) == len(joined)


def test_two_spellings_of_a_json_body_are_equal() -> None:
    one = StartSessionRequest(title="t", metadata={"a": "1", "b": "2"})
    other = StartSessionRequest(metadata={"b": "2", "a": "1"}, title="t")
    assert request(body=one).body == request(body=other).body
    assert request(body=one).body != request(body=StartSessionRequest(title="t")).body


def test_absent_fields_are_not_part_of_the_fingerprint() -> None:
    # A version with more fields must recognise requests of an earlier one.
    assert request(body=SubmitMessageRequest(content="a")).body == b'{"content":"a"}'
    assert request(body=StartSessionRequest()).body == b"{}"


def test_a_record_contains_no_text_and_depends_on_the_data_key() -> None:
    key, session_id = DataKey.generate(), uuid4()
    body = SubmitMessageRequest(content="private words")
    record = request(body=body).to_record(key, session_id, None)
    assert b"private" not in record.request + record.fingerprint
    elsewhere = request(body=body).to_record(DataKey.generate(), session_id, None)
    assert elsewhere.fingerprint != record.fingerprint


def test_an_equal_body_passes_and_a_different_one_is_rejected() -> None:
    key = DataKey.generate()
    record = request(body={"content": "a"}).to_record(key, uuid4(), None)
    request(body={"content": "a"}).check_same(record, key)
    with pytest.raises(IdempotencyKeyReused) as rejected:
        request(body={"content": "b"}).check_same(record, key)
    assert rejected.value.status == 422


@pytest.mark.parametrize("key", ["x", "k" * 255, "a b/~"])
def test_a_key_of_printable_ascii_is_accepted(key: str) -> None:
    request(key=key)


@pytest.mark.parametrize("key", ["", "k" * 256, "kö", "a\tb"])
def test_any_other_key_is_rejected_by_name(key: str) -> None:
    with pytest.raises(InvalidRequest) as rejected:
        request(key=key)
    assert rejected.value.param == "Idempotency-Key"

from uuid import uuid4

import pytest

from parley_contracts.session_api.sessions import StartSessionRequest
from parley_contracts.session_api.turns import SubmitMessageRequest
from parley_core.auth.principal import Principal
from parley_core.crypto.sealing import DataKey
from parley_core.http.errors import IdempotencyKeyReused, InvalidRequest
from parley_session.application.idempotency import IdempotentRequest, idempotent_request

ADA = Principal("default", "ada")


def request(
    person: Principal = ADA,
    method: str = "POST",
    path: str = "/sessions",
    key: str | None = "k1",
    body: object = None,
) -> IdempotentRequest:
    keyed = idempotent_request(person, method, path, key, body)
    assert keyed is not None
    return keyed


def test_a_request_without_a_key_is_not_remembered() -> None:
    assert idempotent_request(ADA, "POST", "/sessions", None, {}) is None


def test_the_same_request_has_the_same_digest_and_the_same_derived_id() -> None:
    assert request().digest == request(body="other").digest
    assert request().derived_id == request(body="other").derived_id


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
def test_person_method_path_and_key_each_make_another_request(other: IdempotentRequest) -> None:
    assert other.digest != request().digest
    assert other.derived_id != request().derived_id


def test_no_part_can_be_read_as_the_beginning_of_the_next() -> None:
    parted = [Principal("a", "bc"), Principal("ab", "c"), Principal('a","b', "c")]
    joined = [request(person).digest for person in parted]
    joined.append(request(Principal("a", 'b","c')).digest)
    joined += [request(path="/a", key="bc").digest, request(path="/ab", key="c").digest]
    assert len(set(joined)) == len(joined)


def test_a_body_is_the_same_however_its_json_was_written() -> None:
    one = StartSessionRequest(title="t", metadata={"a": "1", "b": "2"})
    other = StartSessionRequest(metadata={"b": "2", "a": "1"}, title="t")
    assert request(body=one).body == request(body=other).body
    assert request(body=one).body != request(body=StartSessionRequest(title="t")).body


def test_an_absent_field_is_no_part_of_the_body() -> None:
    # So that a version with more fields knows what an earlier one remembered.
    assert request(body=SubmitMessageRequest(content="a")).body == b'{"content":"a"}'
    assert request(body=StartSessionRequest()).body == b"{}"


def test_what_is_remembered_holds_no_text_and_is_bound_to_the_sessions_key() -> None:
    key, session_id = DataKey.generate(), uuid4()
    body = SubmitMessageRequest(content="private words")
    remembered = request(body=body).remembered(key, session_id, None)
    assert b"private" not in remembered.request + remembered.fingerprint
    elsewhere = request(body=body).remembered(DataKey.generate(), session_id, None)
    assert elsewhere.fingerprint != remembered.fingerprint


def test_the_same_body_passes_and_another_is_refused() -> None:
    key = DataKey.generate()
    remembered = request(body={"content": "a"}).remembered(key, uuid4(), None)
    request(body={"content": "a"}).check_same(remembered, key)
    with pytest.raises(IdempotencyKeyReused) as refused:
        request(body={"content": "b"}).check_same(remembered, key)
    assert refused.value.status == 422


@pytest.mark.parametrize("key", ["x", "k" * 255, "a b/~"])
def test_a_key_of_printable_ascii_is_taken(key: str) -> None:
    request(key=key)


@pytest.mark.parametrize("key", ["", "k" * 256, "kö", "a\tb"])
def test_any_other_key_is_refused_by_name(key: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        request(key=key)
    assert refused.value.param == "Idempotency-Key"

"""Keys of services: their form, their replacement, and the pseudonyms that they make."""

import json
from typing import Any

import pytest

from parley_core.auth.principal import Principal
from parley_core.auth.service_keys import ServiceKeys, SigningKey, generate_signing_key
from parley_testing.peers import signing_key

GATEWAY, INFERENCE = signing_key("gateway"), signing_key("inference")
ADA, EVE = Principal("acme", "ada"), Principal("acme", "eve")


def key_set(*keys: Any) -> str:
    return json.dumps({"keys": [*keys]})


def test_a_generated_key_is_read_from_its_own_form() -> None:
    key = generate_signing_key("history", 7)
    parsed = SigningKey.parse(json.dumps(key.to_jwk()))
    assert (parsed.id, parsed.service) == ("history-7", "history")
    assert parsed.to_jwk() == key.to_jwk() != generate_signing_key("history", 7).to_jwk()


@pytest.mark.parametrize(
    "change",
    [
        {"kid": "gateway"},
        {"kid": "session-1"},
        {"kid": "gateway-0"},
        {"kid": "../gateway-1"},
        {"kid": 1},
        {"kty": "EC"},
        {"crv": "Ed448"},
        {"d": None},
        {"d": "short"},
        {"d": "=" * 43},
        {"x": "short"},
        {"x": INFERENCE.public_jwk()["x"]},
    ],
)
def test_a_wrong_private_key_is_refused_without_being_repeated(change: dict[str, Any]) -> None:
    key = GATEWAY.to_jwk()
    expected = r"^it should be a private JSON Web Key |^its x is not "
    with pytest.raises(ValueError, match=expected) as refused:
        SigningKey.parse(json.dumps(key | change))
    assert key["d"] not in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        *("", "hunter2", "[]", "{}", '{"keys": []}', '{"keys": [1]}', "[" * 100_000),
        json.dumps(GATEWAY.public_jwk()),
        key_set(GATEWAY.public_jwk() | {"kid": "gateway"}),
        key_set(GATEWAY.public_jwk() | {"kid": "stranger-1"}),
        key_set(GATEWAY.public_jwk() | {"x": "short"}),
        key_set(GATEWAY.public_jwk() | {"crv": "X25519"}),
        key_set(GATEWAY.public_jwk(), INFERENCE.public_jwk() | {"kid": "gateway-1"}),
        key_set(GATEWAY.public_jwk(), GATEWAY.public_jwk() | {"kid": "inference-1"}),
        key_set(GATEWAY.public_jwk(), INFERENCE.to_jwk()),
    ],
)
def test_a_wrong_set_of_public_keys_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(ValueError, match=r"^it ") as refused:
        ServiceKeys.parse(text)
    assert "hunter2" not in str(refused.value)
    assert INFERENCE.to_jwk()["d"] not in str(refused.value)


def test_a_service_may_have_two_keys_and_a_key_more_fields() -> None:
    first = GATEWAY.public_jwk() | {"use": "sig", "alg": "EdDSA"}
    keys = ServiceKeys.parse(key_set(first, signing_key("gateway", 2).public_jwk()))
    assert [*keys.by_id] == ["gateway-1", "gateway-2"]


def test_no_representation_has_a_private_key() -> None:
    private = GATEWAY.to_jwk()["d"]
    assert private not in repr(GATEWAY)
    assert private not in json.dumps(GATEWAY.public_jwk())


def test_a_pseudonym_depends_on_the_person_and_the_key_alone() -> None:
    pseudonym = GATEWAY.pseudonym_of(ADA)
    assert pseudonym == signing_key("gateway").pseudonym_of(Principal("acme", "ada", api_key="k"))
    others = {
        GATEWAY.pseudonym_of(EVE),
        GATEWAY.pseudonym_of(Principal("other", "ada")),
        signing_key("gateway", 2).pseudonym_of(ADA),
    }
    assert len(others | {pseudonym}) == 4


def test_a_replaced_key_signs_and_makes_pseudonyms_from_then_on() -> None:
    key = signing_key("gateway")
    pseudonym_of = key.pseudonym_of
    key.replace(signing_key("gateway", 2))
    assert key.id == "gateway-2"
    assert pseudonym_of(ADA) == signing_key("gateway", 2).pseudonym_of(ADA)

"""Cached principal tokens save signatures and verifications without extending a lifetime."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from jwt import get_unverified_header

from parley_core.auth.principal import Principal
from parley_core.auth.principal_token import InvalidPrincipal
from parley_core.auth.principal_token_cache import (
    MAX_CACHED_TOKENS,
    REUSE_SECONDS,
    PrincipalSigner,
    PrincipalVerifier,
    received_pseudonym,
)
from parley_core.auth.service_keys import ServiceKeys, SigningKey
from parley_testing.peers import service_keys, signing_key

KEY = signing_key("gateway")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
ADA, EVE = Principal("acme", "ada"), Principal("acme", "eve")


def signing(key: SigningKey = KEY) -> PrincipalSigner:
    return PrincipalSigner(key, audience="session", pseudonym_of=received_pseudonym)


def verifying(keys: ServiceKeys | None = None) -> PrincipalVerifier:
    return PrincipalVerifier(keys or service_keys(), audience="session")


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def test_a_token_is_reused_for_the_same_principal_within_the_reuse_time() -> None:
    tokens = signing()
    first = tokens.token_for(ADA, NOW)
    assert tokens.token_for(ADA, after(REUSE_SECONDS - 1)) == first
    later = tokens.token_for(ADA, after(REUSE_SECONDS))
    assert later != first
    # A reused token stays valid for its own minute.
    late = after(REUSE_SECONDS + 59)
    assert verifying().verify(later, late).principal == ADA


@pytest.mark.parametrize("other", [EVE, Principal("acme", "ada", frozenset({"admin"}))])
def test_principals_with_different_scopes_get_different_tokens(other: Principal) -> None:
    tokens = signing()
    assert tokens.token_for(ADA, NOW) != tokens.token_for(other, NOW)
    assert verifying().verify(tokens.token_for(other, NOW), NOW).principal == other


def test_a_token_of_a_replaced_key_is_not_reused() -> None:
    key = signing_key("gateway")
    tokens = signing(key)
    before = tokens.token_for(ADA, NOW)
    key.replace(signing_key("gateway", 2))
    after_it = tokens.token_for(ADA, after(1))
    assert [get_unverified_header(each)["kid"] for each in (before, after_it)] == [
        "gateway-1",
        "gateway-2",
    ]
    assert tokens.token_for(ADA, after(2)) == after_it


def test_a_clock_set_back_causes_a_new_signature() -> None:
    tokens = signing()
    tokens.token_for(ADA, after(100))
    assert verifying().verify(tokens.token_for(ADA, NOW), NOW).principal == ADA


@pytest.mark.parametrize("seconds", [60, -6])
def test_a_cached_token_is_rejected_outside_its_lifetime(seconds: int) -> None:
    tokens, token = verifying(), signing().token_for(ADA, NOW)
    assert tokens.verify(token, NOW).principal == ADA
    with pytest.raises(InvalidPrincipal):
        tokens.verify(token, after(seconds))


def test_a_rejected_token_is_rejected_again() -> None:
    tokens, forged = verifying(), signing(signing_key("gateway", 2)).token_for(ADA, NOW)
    for _ in range(2):
        with pytest.raises(InvalidPrincipal):
            tokens.verify(forged, NOW)


def test_the_least_recently_used_tokens_are_evicted() -> None:
    signed, verified = signing(), verifying()
    first = signed.token_for(ADA, NOW)
    verified.verify(first, NOW)
    for number in range(MAX_CACHED_TOKENS):
        verified.verify(signed.token_for(Principal("acme", f"u{number}"), NOW), NOW)
    assert signed.token_for(ADA, after(1)) != first
    assert verified.verify(first, NOW).principal == ADA


def test_a_token_of_a_removed_key_is_rejected_at_once() -> None:
    keys = service_keys()
    tokens, token = verifying(keys), signing().token_for(ADA, NOW)
    tokens.verify(token, NOW)
    others = {id: key for id, key in keys.by_id.items() if id != "gateway-1"}
    keys.replace(ServiceKeys(others))
    with pytest.raises(InvalidPrincipal):
        tokens.verify(token, NOW)


def test_while_a_key_is_replaced_both_verify_and_the_new_one_signs() -> None:
    new = signing_key("gateway", 2)
    keys = ServiceKeys.parse(json.dumps({"keys": [KEY.public_jwk(), new.public_jwk()]}))
    key, tokens = signing_key("gateway"), verifying(keys)
    before = signing(key).token_for(ADA, NOW)
    key.replace(new)
    after_it = signing(key).token_for(ADA, NOW)
    assert tokens.verify(before, NOW) == tokens.verify(after_it, NOW)
    keys.replace(ServiceKeys({id: each for id, each in keys.by_id.items() if id == "gateway-2"}))
    assert tokens.verify(after_it, NOW).service == "gateway"
    with pytest.raises(InvalidPrincipal):
        tokens.verify(before, NOW)

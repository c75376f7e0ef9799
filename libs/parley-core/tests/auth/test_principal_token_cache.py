"""Cached principal tokens save signatures and verifications without extending a lifetime."""

from datetime import UTC, datetime, timedelta

import pytest

from parley_core.auth.principal import InternalSecret, InvalidPrincipal, Principal, verify_principal
from parley_core.auth.principal_token_cache import (
    MAX_CACHED_TOKENS,
    REUSE_SECONDS,
    PrincipalSigner,
    PrincipalVerifier,
)

SECRET = InternalSecret(b"s" * 32)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
ADA, EVE = Principal("acme", "ada"), Principal("acme", "eve")


def signing(secret: InternalSecret = SECRET) -> PrincipalSigner:
    return PrincipalSigner(secret, issuer="gateway", audience="session")


def verifying() -> PrincipalVerifier:
    return PrincipalVerifier(SECRET, issuers={"gateway"}, audience="session")


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
    assert verify_principal(later, SECRET, issuers={"gateway"}, audience="session", now=late) == ADA


@pytest.mark.parametrize("other", [EVE, Principal("acme", "ada", frozenset({"admin"}))])
def test_principals_with_different_scopes_get_different_tokens(other: Principal) -> None:
    tokens = signing()
    assert tokens.token_for(ADA, NOW) != tokens.token_for(other, NOW)
    assert verifying().verify(tokens.token_for(other, NOW), NOW) == other


def test_a_clock_set_back_causes_a_new_signature() -> None:
    tokens = signing()
    tokens.token_for(ADA, after(100))
    assert verifying().verify(tokens.token_for(ADA, NOW), NOW) == ADA


@pytest.mark.parametrize("seconds", [60, -6])
def test_a_cached_token_is_rejected_outside_its_lifetime(seconds: int) -> None:
    tokens, token = verifying(), signing().token_for(ADA, NOW)
    assert tokens.verify(token, NOW) == ADA
    with pytest.raises(InvalidPrincipal):
        tokens.verify(token, after(seconds))


def test_a_rejected_token_is_rejected_again() -> None:
    tokens, forged = verifying(), signing(InternalSecret(b"o" * 32)).token_for(ADA, NOW)
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
    assert verified.verify(first, NOW) == ADA

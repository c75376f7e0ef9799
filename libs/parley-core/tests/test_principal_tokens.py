"""A principal token is signed and verified once for some calls, and allows no more than before."""

from datetime import UTC, datetime, timedelta

import pytest

from parley_core.auth.principal import InternalSecret, InvalidPrincipal, Principal, verify_principal
from parley_core.auth.principal_token_cache import (
    MOST_KEPT,
    REUSED_SECONDS,
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


def test_calls_for_one_person_carry_one_token_for_some_seconds():
    tokens = signing()
    first = tokens.of(ADA, NOW)
    assert tokens.of(ADA, after(REUSED_SECONDS - 1)) == first
    later = tokens.of(ADA, after(REUSED_SECONDS))
    assert later != first
    # Good for its whole minute, whenever it was sent.
    late = after(REUSED_SECONDS + 59)
    assert verify_principal(later, SECRET, issuers={"gateway"}, audience="session", now=late) == ADA


@pytest.mark.parametrize("other", [EVE, Principal("acme", "ada", frozenset({"admin"}))])
def test_a_token_stands_for_one_person_with_the_same_scopes(other):
    tokens = signing()
    assert tokens.of(ADA, NOW) != tokens.of(other, NOW)
    assert verifying().principal_of(tokens.of(other, NOW), NOW) == other


def test_a_clock_that_is_set_back_signs_anew():
    tokens = signing()
    tokens.of(ADA, after(100))
    assert verifying().principal_of(tokens.of(ADA, NOW), NOW) == ADA


@pytest.mark.parametrize("seconds", [60, -6])
def test_a_token_that_was_verified_is_refused_outside_of_its_time(seconds):
    tokens, token = verifying(), signing().of(ADA, NOW)
    assert tokens.principal_of(token, NOW) == ADA
    with pytest.raises(InvalidPrincipal):
        tokens.principal_of(token, after(seconds))


def test_a_token_that_was_refused_is_refused_again():
    tokens, forged = verifying(), signing(InternalSecret(b"o" * 32)).of(ADA, NOW)
    for _ in range(2):
        with pytest.raises(InvalidPrincipal):
            tokens.principal_of(forged, NOW)


def test_the_oldest_are_forgotten():
    signed, verified = signing(), verifying()
    first = signed.of(ADA, NOW)
    verified.principal_of(first, NOW)
    for number in range(MOST_KEPT):
        verified.principal_of(signed.of(Principal("acme", f"u{number}"), NOW), NOW)
    assert signed.of(ADA, after(1)) != first
    assert verified.principal_of(first, NOW) == ADA

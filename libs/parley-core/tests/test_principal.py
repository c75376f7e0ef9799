"""A principal token is believed for one service, for a minute, and only with the shared secret."""

import base64
import json
from datetime import UTC, datetime, timedelta

import jwt
import pytest

from parley_core.auth.principal import (
    InternalSecret,
    InvalidPrincipal,
    Principal,
    sign_principal,
    verify_principal,
)

SECRET = InternalSecret(b"s" * 32)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
DEEP = base64.urlsafe_b64encode(b"[" * 30_000).decode()
ADA = Principal("acme", "ada", frozenset({"admin", "audit:read"}))
CLAIMS = {
    "iss": "gateway",
    "aud": "session",
    "tenant": "acme",
    "sub": "ada",
    "scopes": ["admin"],
    "iat": int(NOW.timestamp()),
    "exp": int(NOW.timestamp()) + 60,
}


def sign(**changes):
    arguments = {"issuer": "gateway", "audience": "session", "now": NOW} | changes
    return sign_principal(ADA, SECRET, **arguments)


def forge(secret=SECRET.value, algorithm="HS256", **changes):
    claims = {name: value for name, value in (CLAIMS | changes).items() if value is not None}
    # Not through jwt.encode's own checks: an attacker does not run them.
    return jwt.PyJWS().encode(json.dumps(claims).encode(), secret, algorithm=algorithm)


def verify(token, **changes):
    arguments = {"issuers": {"gateway"}, "audience": "session", "now": NOW} | changes
    return verify_principal(token, SECRET, **arguments)


def test_what_was_signed_is_who_is_believed():
    assert verify(sign()) == ADA


def test_a_person_without_scopes_is_believed():
    assert verify(forge(scopes=[])) == Principal("acme", "ada")


def test_a_token_lives_for_sixty_seconds():
    verify(sign(), now=NOW + timedelta(seconds=59))

    with pytest.raises(InvalidPrincipal, match="expired"):
        verify(sign(), now=NOW + timedelta(seconds=60))


def test_a_token_from_a_clock_a_little_ahead_is_believed_and_one_from_the_future_is_not():
    verify(sign(now=NOW + timedelta(seconds=5)))

    with pytest.raises(InvalidPrincipal, match="future"):
        verify(sign(now=NOW + timedelta(seconds=7)))


def test_a_token_that_gives_itself_a_longer_life_is_refused():
    with pytest.raises(InvalidPrincipal, match="lives over"):
        verify(forge(exp=CLAIMS["exp"] + 1))


def test_a_token_for_another_service_is_refused():
    with pytest.raises(InvalidPrincipal, match="InvalidAudience"):
        verify(sign(), audience="history")


def test_a_token_for_several_services_is_refused():
    with pytest.raises(InvalidPrincipal):
        verify(forge(aud=["session", "history"]))


def test_a_token_from_a_service_that_may_not_call_is_refused():
    with pytest.raises(InvalidPrincipal, match="issuer not allowed"):
        verify(sign(issuer="history"))


def test_a_token_signed_with_another_secret_is_refused():
    with pytest.raises(InvalidPrincipal, match="InvalidSignature"):
        verify(forge(secret=b"x" * 32))


def test_a_token_whose_claims_were_changed_is_refused():
    header, _, signature = sign().split(".")
    claims = forge(sub="eve").split(".")[1]

    with pytest.raises(InvalidPrincipal, match="InvalidSignature"):
        verify(f"{header}.{claims}.{signature}")


def test_an_unsigned_token_is_refused():
    with pytest.raises(InvalidPrincipal, match="InvalidAlgorithm"):
        verify(forge(secret=None, algorithm="none"))


def test_another_algorithm_with_the_right_secret_is_refused():
    with pytest.raises(InvalidPrincipal, match="InvalidAlgorithm"):
        verify(forge(secret=b"s" * 64, algorithm="HS512"))


@pytest.mark.parametrize("claim", sorted(CLAIMS))
def test_a_token_without_one_of_its_claims_is_refused(claim):
    with pytest.raises(InvalidPrincipal):
        verify(forge(**{claim: None}))


@pytest.mark.parametrize(
    "changes",
    [
        {"sub": ""},
        {"sub": 7},
        {"tenant": ""},
        {"tenant": ["acme"]},
        {"iss": ["gateway"]},
        {"scopes": "admin"},
        {"scopes": [1]},
        {"exp": "soon"},
        {"exp": True},
        {"iat": CLAIMS["iat"] + 0.5},
    ],
)
def test_a_claim_of_the_wrong_kind_is_refused(changes):
    with pytest.raises(InvalidPrincipal):
        verify(forge(**changes))


@pytest.mark.parametrize(
    "garbage", ["", "a", "a.b.c", "....", "é.é.é", "\ud800", f"{DEEP}.e30.e30"]
)
def test_garbage_is_refused_without_being_repeated(garbage):
    with pytest.raises(InvalidPrincipal, match=r"token: \w+Error$"):
        verify(garbage)


def test_a_refusal_repeats_neither_the_token_nor_the_secret():
    token = forge(sub="person-7", aud="person-7")

    with pytest.raises(InvalidPrincipal) as refusal:
        verify(token)

    assert "person-7" not in str(refusal.value)
    assert "sss" not in str(refusal.value)


def test_a_short_secret_is_refused_with_the_name_of_the_setting_and_not_its_value():
    with pytest.raises(ValueError, match="PARLEY_INTERNAL_SECRET should be") as refusal:
        InternalSecret.parse("hunter2")

    assert "hunter2" not in str(refusal.value)


def test_the_secret_does_not_show_in_its_repr():
    assert "sss" not in repr(SECRET)

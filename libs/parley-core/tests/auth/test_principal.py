"""Principal tokens are valid for one audience, for a minute, under the shared secret only."""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

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
CLAIMS: dict[str, Any] = {
    "iss": "gateway",
    "aud": "session",
    "tenant": "acme",
    "sub": "ada",
    "scopes": ["admin"],
    "iat": int(NOW.timestamp()),
    "exp": int(NOW.timestamp()) + 60,
}


def sign(**changes: Any) -> str:
    arguments: dict[str, Any] = {"issuer": "gateway", "audience": "session", "now": NOW} | changes
    return sign_principal(ADA, SECRET, **arguments)


def forge(secret: bytes | None = SECRET.value, algorithm: str = "HS256", **changes: Any) -> str:
    claims = {name: value for name, value in (CLAIMS | changes).items() if value is not None}
    # Bypasses the checks of jwt.encode, as an attacker would.
    return jwt.PyJWS().encode(json.dumps(claims).encode(), secret or "", algorithm=algorithm)


def verify(token: str, **changes: Any) -> Principal:
    arguments: dict[str, Any] = {
        "issuers": {"gateway"},
        "audience": "session",
        "now": NOW,
    } | changes
    return verify_principal(token, SECRET, **arguments)


def test_a_signed_principal_is_verified() -> None:
    assert verify(sign()) == ADA


def test_a_principal_without_scopes_is_verified() -> None:
    assert verify(forge(scopes=[])) == Principal("acme", "ada")


def test_a_token_is_valid_for_sixty_seconds() -> None:
    verify(sign(), now=NOW + timedelta(seconds=59))

    with pytest.raises(InvalidPrincipal, match="expired"):
        verify(sign(), now=NOW + timedelta(seconds=60))


def test_clock_skew_is_tolerated_and_a_token_from_the_future_is_rejected() -> None:
    verify(sign(now=NOW + timedelta(seconds=5)))

    with pytest.raises(InvalidPrincipal, match="future"):
        verify(sign(now=NOW + timedelta(seconds=7)))


def test_a_token_with_a_longer_lifetime_is_rejected() -> None:
    with pytest.raises(InvalidPrincipal, match="lives over"):
        verify(forge(exp=CLAIMS["exp"] + 1))


def test_a_token_for_another_audience_is_rejected() -> None:
    with pytest.raises(InvalidPrincipal, match="InvalidAudience"):
        verify(sign(), audience="history")


def test_a_token_for_several_audiences_is_rejected() -> None:
    with pytest.raises(InvalidPrincipal):
        verify(forge(aud=["session", "history"]))


def test_a_token_of_an_unknown_issuer_is_rejected() -> None:
    with pytest.raises(InvalidPrincipal, match="issuer not allowed"):
        verify(sign(issuer="history"))


def test_a_token_signed_with_another_secret_is_rejected() -> None:
    with pytest.raises(InvalidPrincipal, match="InvalidSignature"):
        verify(forge(secret=b"x" * 32))


def test_a_token_with_altered_claims_is_rejected() -> None:
    header, _, signature = sign().split(".")
    claims = forge(sub="eve").split(".")[1]

    with pytest.raises(InvalidPrincipal, match="InvalidSignature"):
        verify(f"{header}.{claims}.{signature}")


def test_an_unsigned_token_is_rejected() -> None:
    with pytest.raises(InvalidPrincipal, match="InvalidAlgorithm"):
        verify(forge(secret=None, algorithm="none"))


def test_another_algorithm_with_the_right_secret_is_rejected() -> None:
    with pytest.raises(InvalidPrincipal, match="InvalidAlgorithm"):
        verify(forge(secret=b"s" * 64, algorithm="HS512"))


@pytest.mark.parametrize("claim", sorted(CLAIMS))
def test_a_token_without_a_required_claim_is_rejected(claim: str) -> None:
    with pytest.raises(InvalidPrincipal):
        verify(forge(**dict[str, Any]({claim: None})))


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
def test_a_claim_of_the_wrong_type_is_rejected(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidPrincipal):
        verify(forge(**changes))


@pytest.mark.parametrize(
    "garbage", ["", "a", "a.b.c", "....", "é.é.é", "\ud800", f"{DEEP}.e30.e30"]
)
def test_garbage_is_rejected_without_being_repeated(garbage: str) -> None:
    with pytest.raises(InvalidPrincipal, match=r"token: \w+Error$"):
        verify(garbage)


def test_the_error_repeats_neither_the_token_nor_the_secret() -> None:
    token = forge(sub="person-7", aud="person-7")

    with pytest.raises(InvalidPrincipal) as error:
        verify(token)

    assert "person-7" not in str(error.value)
    assert "sss" not in str(error.value)


def test_the_error_of_a_short_secret_names_the_setting_and_not_its_value() -> None:
    with pytest.raises(ValueError, match="PARLEY_INTERNAL_SECRET should be") as error:
        InternalSecret.parse("hunter2")

    assert "hunter2" not in str(error.value)


def test_repr_hides_the_secret() -> None:
    assert "sss" not in repr(SECRET)


def test_while_a_secret_is_replaced_both_verify_and_the_first_signs() -> None:
    old, new = InternalSecret(b"o" * 32), InternalSecret(b"n" * 32)
    both = InternalSecret.parse(f"{'n' * 32},{'o' * 32}")

    def verified(signing: InternalSecret, verifying: InternalSecret) -> bool:
        token = sign_principal(ADA, signing, issuer="gateway", audience="session", now=NOW)
        try:
            verify_principal(token, verifying, issuers=["gateway"], audience="session", now=NOW)
        except InvalidPrincipal:
            return False
        return True

    assert verified(old, both)
    assert verified(new, both)
    assert verified(both, new)
    assert not verified(both, old)

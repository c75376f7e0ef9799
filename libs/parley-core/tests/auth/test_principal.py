"""Principal tokens are valid for one audience, for a minute, under a key of their caller only."""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest

from parley_core.auth.principal import Principal
from parley_core.auth.principal_token import InvalidPrincipal, VerifiedToken, sign_principal
from parley_core.auth.principal_token_cache import PrincipalVerifier
from parley_core.auth.service_keys import SigningKey
from parley_testing.peers import service_keys, signing_key

KEY = signing_key("gateway")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
DEEP = base64.urlsafe_b64encode(b"[" * 30_000).decode()
ADA = Principal("acme", "ada", frozenset({"admin", "audit:read"}), pseudonym="p-1")
CLAIMS: dict[str, Any] = {
    "aud": "session",
    "tenant": "acme",
    "sub": "ada",
    "scopes": ["admin"],
    "iat": int(NOW.timestamp()),
    "exp": int(NOW.timestamp()) + 60,
}


def sign(key: SigningKey = KEY, principal: Principal = ADA, **changes: Any) -> str:
    arguments: dict[str, Any] = {"audience": "session", "now": NOW} | changes
    return sign_principal(principal, key, **arguments)


def forge(key: Any = None, algorithm: str = "EdDSA", kid: Any = "gateway-1", **changes: Any) -> str:
    """Signed with a known key, unless it is given."""
    claims = {name: value for name, value in (CLAIMS | changes).items() if value is not None}
    # Bypasses the checks of jwt.encode, as an attacker would.
    signing = jwt.PyJWK(KEY.to_jwk()).key if key is None else key
    headers = {} if kid is None else {"kid": kid}
    payload = json.dumps(claims).encode()
    return jwt.PyJWS().encode(payload, signing, algorithm=algorithm, headers=headers)


def verify(token: str, audience: str = "session", now: datetime = NOW) -> VerifiedToken:
    return PrincipalVerifier(service_keys(), audience=audience).verify(token, now)


@pytest.mark.parametrize("service", ["gateway", "inference", "history", "cli"])
def test_a_token_names_the_service_whose_key_signed_it(service: str) -> None:
    verified = verify(sign(signing_key(service)))
    assert (verified.service, verified.principal) == (service, ADA)
    assert verified.principal.pseudonym == "p-1"


@pytest.mark.parametrize("claim", ["iss", "caller", "service"])
def test_no_claim_changes_the_name_of_the_caller(claim: str) -> None:
    key = jwt.PyJWK(signing_key("inference").to_jwk()).key
    token = forge(key, kid="inference-1", **dict[str, Any]({claim: "gateway"}))
    assert verify(token).service == "inference"


def test_a_principal_of_an_api_key_keeps_its_models() -> None:
    principal = Principal("acme", "ada", models=frozenset(("small",)), api_key="k-1")
    assert verify(sign(principal=principal)).principal == principal


def test_a_principal_without_scopes_is_verified() -> None:
    assert verify(forge(scopes=[])).principal == Principal("acme", "ada")


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


@pytest.mark.parametrize("kid", [None, "", "gateway", "gateway-2", "session-1", "GATEWAY-1"])
def test_a_token_of_an_unknown_key_is_rejected(kid: str | None) -> None:
    with pytest.raises(InvalidPrincipal, match="UnknownKeyError"):
        verify(forge(kid=kid))


@pytest.mark.parametrize("kid", ["gateway-1", "history-1"])
def test_a_token_under_the_name_of_another_services_key_is_rejected(kid: str) -> None:
    with pytest.raises(InvalidPrincipal, match="InvalidSignature"):
        verify(forge(jwt.PyJWK(signing_key("inference").to_jwk()).key, kid=kid))


def test_a_token_with_altered_claims_is_rejected() -> None:
    header, _, signature = sign().split(".")
    claims = forge(sub="eve").split(".")[1]

    with pytest.raises(InvalidPrincipal, match="InvalidSignature"):
        verify(f"{header}.{claims}.{signature}")


def test_an_unsigned_token_is_rejected() -> None:
    with pytest.raises(InvalidPrincipal, match="InvalidAlgorithm"):
        verify(forge("", algorithm="none"))


def test_a_token_whose_hmac_has_the_public_key_as_its_secret_is_rejected() -> None:
    public = base64.urlsafe_b64decode(KEY.public_jwk()["x"] + "=")
    with pytest.raises(InvalidPrincipal, match="InvalidAlgorithm"):
        verify(forge(public, algorithm="HS256"))


def test_a_key_in_the_header_is_not_used() -> None:
    stranger = signing_key("gateway", 2)
    key = jwt.PyJWK(stranger.to_jwk()).key
    headers = {"kid": "gateway-1", "jwk": stranger.public_jwk()}
    token = jwt.encode(CLAIMS, key, algorithm="EdDSA", headers=headers)
    with pytest.raises(InvalidPrincipal, match="InvalidSignature"):
        verify(token)


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
        {"scopes": "admin"},
        {"scopes": [1]},
        {"models": "small"},
        {"api_key": 7},
        {"pseudonym": ["p-1"]},
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


def test_the_error_does_not_repeat_the_token() -> None:
    token = forge(sub="person-7", aud="person-7")

    with pytest.raises(InvalidPrincipal) as error:
        verify(token)

    assert "person-7" not in str(error.value)

"""Forged tokens: the threats of RFC 8725 (JWT best current practices), section 2, and others.

The cases are the same in every run.
"""

import base64
import hashlib
import hmac
import json
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from gateway_fakes.gateway import Gateway
from gateway_fakes.issuer import (
    AUDIENCE,
    ISSUER,
    Issuer,
    claims,
    elliptic_key,
    published,
    rsa_key,
    signed,
    write_issuers,
)

from parley_testing.fake_service import raw
from parley_testing.session_service import FakeSessionService

RSA, EC = rsa_key("one"), elliptic_key("one")
ATTACKER_RSA, ATTACKER_EC = rsa_key("attacker"), elliptic_key("attacker")
OTHER = "https://other.example"
OTHER_RSA = rsa_key("other issuer")
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
MIN_CASES = 200


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def joined(header: Any, payload: Any, signature: bytes | str = b"") -> str:
    parts = (json.dumps(each).encode() for each in (header, payload))
    last = signature if isinstance(signature, str) else encoded(signature)
    return ".".join([*map(encoded, parts), last])


def ours(**changes: Any) -> dict[str, Any]:
    return claims(iss=ISSUER, aud=AUDIENCE, **changes)


def forged_tokens() -> Iterator[tuple[str, str]]:
    """A description and a token."""
    for algorithm in ("none", "None", "NONE", "nOnE", "", "null", "HS256", "HS384", "HS512"):
        for kid in ("r", "e", None):
            header = {"alg": algorithm, "typ": "JWT", **({"kid": kid} if kid else {})}
            yield f"unsigned, alg {algorithm}, kid {kid}", joined(header, ours())
    yield from _public_keys_as_secrets()
    yield from _changed_signatures()
    yield from _changed_contents()
    yield from _keys_of_attackers()
    yield from _wrong_claims()
    yield from _other_forms()


def _public_keys_as_secrets() -> Iterator[tuple[str, str]]:
    """RFC 8725, section 2.1: the algorithm is changed to one with a shared secret."""
    for key, kid in ((RSA, "r"), (EC, "e")):
        public = key.public_key()
        secrets = [
            public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
            public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).strip(),
            public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
            json.dumps(published(key, kid)).encode(),
            kid.encode(),
            b"",
        ]
        for secret in secrets:
            for algorithm, digest in (
                ("HS256", "sha256"),
                ("HS384", "sha384"),
                ("HS512", "sha512"),
            ):
                head = joined({"alg": algorithm, "kid": kid}, ours()).rpartition(".")[0]
                signature = hmac.new(secret, head.encode(), getattr(hashlib, digest)).digest()
                yield f"{algorithm} with a public key", f"{head}.{encoded(signature)}"


def _changed_signatures() -> Iterator[tuple[str, str]]:
    chance = random.Random(8725)
    for key, kid in ((RSA, "r"), (EC, "e")):
        head, _, last = signed(key, kid).rpartition(".")
        signature = base64.urlsafe_b64decode(last + "==")
        for _ in range(25):
            changed = bytearray(signature)
            changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
            yield "one bit of the signature", f"{head}.{encoded(bytes(changed))}"
        for length in (0, 1, 32, 63, len(signature) - 1):
            yield "a shorter signature", f"{head}.{encoded(signature[:length])}"
        yield "a longer signature", f"{head}.{encoded(signature + bytes(1))}"
        yield "a random signature", f"{head}.{encoded(chance.randbytes(len(signature)))}"
    # CVE-2022-21449: a verifier that forgets to check r and s accepts zeros.
    head = signed(EC, "e").rpartition(".")[0]
    for r, s in ((0, 0), (0, 1), (1, 0), (P256_ORDER, 0), (P256_ORDER, P256_ORDER), (1, 1)):
        plain = r.to_bytes(32, "big") + s.to_bytes(32, "big")
        yield f"r={r} s={s}", f"{head}.{encoded(plain)}"
        yield f"r={r} s={s} in DER", f"{head}.{encoded(encode_dss_signature(r, s))}"


def _changed_contents() -> Iterator[tuple[str, str]]:
    for key, kid in ((RSA, "r"), (EC, "e")):
        algorithm = "RS256" if key is RSA else "ES256"
        header, payload, signature = signed(key, kid).split(".")
        for changes in ({"sub": "eve"}, {"scope": "admin"}, {"exp": int(time.time()) + 10**6}):
            yield "other claims", joined({"alg": algorithm, "kid": kid}, ours(**changes), signature)
        for other in ("RS512", "PS256", "ES384", "EdDSA", "ES256", "RS256"):
            for other_kid in ("r", "e"):
                changed = encoded(json.dumps({"alg": other, "kid": other_kid}).encode())
                yield "another header", f"{changed}.{payload}.{signature}"
        yield "the payload of another", f"{header}.{encoded(b'{}')}.{signature}"


def _keys_of_attackers() -> Iterator[tuple[str, str]]:
    """RFC 8725, sections 2.2, 2.8 and 2.9: keys that the token itself brings or names."""
    brought: list[dict[str, Any]] = [
        {},
        {"jku": "https://attacker.example/keys"},
        {"x5u": "https://attacker.example/certificate"},
        {"x5c": ["MIIB"]},
        {"x5t": "AAAA"},
        {"crit": ["exp"]},
        {"b64": False, "crit": ["b64"]},
    ]
    kids: tuple[str | None, ...] = (
        "r",
        "e",
        None,
        "",
        "../../../dev/null",
        "x' UNION SELECT 'secret",
        "https://attacker.example/keys",
        "k" * 1_000,
    )
    for key, algorithm in ((ATTACKER_RSA, "RS256"), (ATTACKER_EC, "ES256")):
        embedded = {"jwk": published(key, "r")}
        for kid in kids:
            for fields in (*brought, embedded) if kid == "r" else ({}, embedded):
                header = {**fields, **({"kid": kid} if kid is not None else {})}
                header = {"alg": algorithm, **header}
                head = joined(header, ours()).rpartition(".")[0]
                made_by = jwt.get_algorithm_by_name(algorithm)
                signature = made_by.sign(head.encode(), key)
                yield f"key of an attacker, {fields.keys()}", f"{head}.{encoded(signature)}"


def _wrong_claims() -> Iterator[tuple[str, str]]:
    """RFC 8725, sections 2.7 and 3.8 to 3.11: meant for others, or by another issuer."""
    now = int(time.time())
    wrong: tuple[dict[str, Any], ...] = (
        {"iss": OTHER},
        {"iss": None},
        {"iss": f"{ISSUER}/"},
        {"iss": f"{ISSUER}#"},
        {"aud": None},
        {"aud": "another"},
        {"aud": []},
        {"aud": [AUDIENCE.upper()]},
        {"aud": f"{AUDIENCE} another"},
        {"exp": None},
        {"exp": now - 31},
        {"exp": 0},
        {"nbf": now + 60},
        {"iat": now + 60},
        {"sub": None},
        {"sub": ""},
        {"nonce": "n"},
        {"token_use": "id"},
    )
    for changes in wrong:
        yield f"claims {changes}", signed(RSA, "r", **changes)
    yield "a key of another issuer", signed(OTHER_RSA, "o")
    yield "a key of another issuer, under our key id", signed(OTHER_RSA, "r")
    yield "our key, of another issuer", signed(RSA, "r", iss=OTHER)


def _other_forms() -> Iterator[tuple[str, str]]:
    valid = signed(RSA, "r")
    header, payload, signature = valid.split(".")
    protected = {"protected": header, "payload": payload, "signature": signature}
    yield "JSON serialization", json.dumps(protected, separators=(",", ":"))
    yield "encrypted", ".".join([header, "", "", payload, signature])
    yield "four parts", f"{valid}.{signature}"
    yield "two parts", f"{header}.{payload}"
    yield "in a token", signed(ATTACKER_RSA, "r", jwt=valid)
    nested = encoded(json.dumps({"alg": "none", "cty": "JWT"}).encode())
    yield "nested in an unsigned token", f"{nested}.{encoded(valid.encode())}."
    for text in ("null", "[]", '""', "0", "{}"):
        yield f"header {text}", f"{encoded(text.encode())}.{payload}.{signature}"
        yield f"payload {text}", f"{header}.{encoded(text.encode())}.{signature}"


async def test_forged_tokens_are_refused(
    start: Callable[..., Awaitable[Gateway]],
    issuer: Issuer,
    session: FakeSessionService,
    tmp_path: Path,
) -> None:
    issuer.keys = [published(RSA, "r"), published(EC, "e")]
    async with Issuer.serve() as other:
        other.keys = [published(OTHER_RSA, "o")]
        path = write_issuers(
            tmp_path / "issuers.yaml", issuer.entry(), other.entry(name="other", issuer=OTHER)
        )
        gateway = await start(
            jwt={"issuers": path},
            constants={"auth.oidc.jwks_client.MIN_FETCH_INTERVAL_SECONDS": 0.001},
        )
        for valid in (signed(RSA, "r"), signed(EC, "e"), signed(OTHER_RSA, "o", iss=OTHER)):
            session.answers.append(raw(b"{}"))
            assert (await gateway.get("/v1/assistants", bearer=valid))[0] == 200

        cases = list(forged_tokens())
        assert len(cases) >= MIN_CASES
        for description, bearer in cases:
            refused = await gateway.expect_error("GET", "/v1/assistants", bearer=bearer)
            assert refused == (401, "invalid_token", None), description

"""Tokens verified with published keys: real keys, fetched from a real server."""

import asyncio
import json
import socket
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from gateway_fakes.issuer import (
    AUDIENCE,
    ISSUER,
    QUICKLY,
    Issuer,
    claims,
    elliptic_key,
    published,
    rsa_key,
    signed,
)

from parley_gateway.auth.oidc.jwks_client import JWKSClient, KeySource
from parley_testing.eventually import eventually
from parley_testing.serving import client_session

RSA, OTHER_RSA, EC = rsa_key("one"), rsa_key("two"), elliptic_key("one")


REFUSED = (401, "invalid_token")


async def test_tokens_signed_with_published_keys_are_accepted(
    start_with: Callable[..., Any], issuer: Issuer, ask: Callable[..., Any]
) -> None:
    issuer.keys = [published(RSA, "r", use="sig", alg="RS256"), published(EC, "e")]
    gateway = await start_with()
    assert await ask(gateway, signed(RSA, "r")) == 200
    assert await ask(gateway, signed(EC, "e")) == 200
    assert issuer.fetches == 1


async def test_a_key_id_may_name_one_key_per_algorithm(
    start_with: Callable[..., Any], issuer: Issuer, ask: Callable[..., Any]
) -> None:
    issuer.keys = [published(RSA, "k"), published(EC, "k")]
    gateway = await start_with()
    assert await ask(gateway, signed(RSA, "k")) == await ask(gateway, signed(EC, "k")) == 200


async def test_a_token_without_a_key_id_is_accepted_if_exactly_one_key_matches(
    start_with: Callable[..., Any], issuer: Issuer, ask: Callable[..., Any]
) -> None:
    issuer.keys = [published(RSA, None), published(EC, "e")]
    gateway = await start_with()
    assert await ask(gateway, signed(RSA, None)) == await ask(gateway, signed(EC, None)) == 200
    issuer.keys.append(published(OTHER_RSA, "o"))
    assert await ask(gateway, signed(OTHER_RSA, "o")) == 200
    assert await ask(gateway, signed(RSA, None)) == REFUSED


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://elsewhere.example"},
        {"iss": None},
        {"aud": "another"},
        {"aud": None},
        {"exp": int(time.time()) - 40},
        {"exp": None},
    ],
)
async def test_a_token_with_another_issuer_or_audience_or_expired_is_rejected(
    start_with: Callable[..., Any], issuer: Issuer, ask: Callable[..., Any], changes: dict[str, Any]
) -> None:
    issuer.keys = [published(RSA, "r")]
    gateway = await start_with()
    assert await ask(gateway, signed(RSA, "r", **changes)) == REFUSED


async def test_a_forged_token_is_rejected(
    start_with: Callable[..., Any], issuer: Issuer, ask: Callable[..., Any]
) -> None:
    issuer.keys = [published(RSA, "r"), published(EC, "e")]
    gateway = await start_with()
    ours = claims(iss=ISSUER, aud=AUDIENCE)
    assert await ask(gateway, signed(OTHER_RSA, "r")) == REFUSED
    assert await ask(gateway, signed(elliptic_key("two"), "e")) == REFUSED
    assert await ask(gateway, jwt.encode(ours, "", algorithm="none")) == REFUSED
    unsigned = jwt.encode(ours, "", algorithm="none", headers={"kid": "r"})
    assert await ask(gateway, unsigned) == REFUSED
    rs512 = jwt.encode(ours, RSA, algorithm="RS512", headers={"kid": "r"})
    assert await ask(gateway, rs512) == REFUSED


async def test_a_public_key_cannot_be_used_as_a_shared_secret(
    start_with: Callable[..., Any], issuer: Issuer, ask: Callable[..., Any]
) -> None:
    issuer.keys = [published(RSA, "r"), {"kty": "oct", "kid": "o", "k": "c2VjcmV0" * 8}]
    gateway = await start_with()
    public = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    ours = claims(iss=ISSUER, aud=AUDIENCE)
    # PyJWT itself would not sign with it: it knows a public key when it sees one.
    hs256 = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    for kid, secret in (("r", public), ("o", b"secret" * 8)):
        head = jwt.encode(ours, b"x" * 32, headers={"kid": kid}).rpartition(".")[0]
        signature = jwt.utils.base64url_encode(hs256.sign(head.encode(), secret)).decode()
        assert await ask(gateway, f"{head}.{signature}") == REFUSED


@pytest.mark.parametrize(
    "key",
    [
        lambda: published(RSA, "k", use="enc"),
        lambda: published(RSA, "k", alg="RS512"),
        lambda: published(RSA, "k", key_ops=["sign"]),
        lambda: published(rsa_key("small", 1024), "k"),
        lambda: published(ec.generate_private_key(ec.SECP384R1()), "k"),
        lambda: jwt.algorithms.RSAAlgorithm.to_jwk(RSA, as_dict=True) | {"kid": "k"},
        lambda: published(RSA, "k", n="not base64 %"),
        lambda: published(RSA, 7),
        lambda: published(RSA, "k", kty=["RSA"]),
    ],
)
async def test_an_unusable_key_is_ignored(
    start_with: Callable[..., Any], issuer: Issuer, ask: Callable[..., Any], key: Callable[..., Any]
) -> None:
    issuer.keys = [key(), published(EC, "e")]
    gateway = await start_with()
    assert await ask(gateway, signed(EC, "e")) == 200
    assert await ask(gateway, signed(RSA, "k")) == REFUSED


async def test_an_unknown_key_id_triggers_a_fetch(
    start_with: Callable[..., Any], issuer: Issuer, ask: Callable[..., Any]
) -> None:
    issuer.keys = [published(RSA, "old")]
    gateway = await start_with()
    assert await ask(gateway, signed(RSA, "old")) == 200
    issuer.keys = [published(OTHER_RSA, "new")]
    assert await ask(gateway, signed(OTHER_RSA, "new")) == 200
    # What is published no more is believed no more.
    assert await ask(gateway, signed(RSA, "old")) == REFUSED


async def test_unknown_key_ids_trigger_fetches_at_a_limited_rate(
    start_with: Any, issuer: Issuer, ask: Any
) -> None:
    issuer.keys = [published(RSA, "r")]
    gateway = await start_with({"auth.oidc.jwks_client.MIN_FETCH_INTERVAL_SECONDS": 0.2})
    strangers = [signed(OTHER_RSA, f"k{number}") for number in range(20)]
    answers = await asyncio.gather(*(ask(gateway, stranger) for stranger in strangers))
    assert set(answers) == {REFUSED}
    assert await ask(gateway, signed(OTHER_RSA, "another")) == REFUSED
    # One at the start, one for all strangers, and one for the last.
    assert issuer.fetches <= 3


async def test_without_keys_requests_are_a_503_until_a_fetch_succeeds(
    start_with: Callable[..., Any], issuer: Issuer, ask: Callable[..., Any]
) -> None:
    issuer.status = 500
    gateway = await start_with()
    bearer = signed(RSA, "r")
    assert await ask(gateway, bearer) == (503, "keys_unavailable")
    issuer.status, issuer.keys = 200, [published(RSA, "r")]
    assert await ask(gateway, bearer) == 200


TOO_LONG = json.dumps({"keys": [published(RSA, "r")]}).encode() + b" " * 300_000


@pytest.mark.parametrize(
    "body",
    [b"{", b"[]", b'{"keys": 1}', b'{"keys": [1]}', b'{"keys": []}', TOO_LONG, b"[" * 9_999],
    ids=["no JSON", "a list", "a number", "numbers", "empty", "too long", "deep"],
)
async def test_an_invalid_key_set_does_not_remove_known_keys(
    start_with: Callable[..., Any], issuer: Issuer, ask: Callable[..., Any], body: bytes
) -> None:
    issuer.body = body
    gateway = await start_with()
    assert await ask(gateway, signed(RSA, "r")) == (503, "keys_unavailable")
    issuer.body, issuer.keys = None, [published(RSA, "r")]
    assert await ask(gateway, signed(RSA, "r")) == 200
    issuer.body = body
    # Nobody can say yet whether the issuer has such a key.
    assert await ask(gateway, signed(RSA, "unknown")) == (503, "keys_unavailable")
    assert await ask(gateway, signed(RSA, "r")) == 200


async def test_a_fetch_from_an_unresponsive_issuer_times_out(
    start_with: Callable[..., Any], ask: Callable[..., Any]
) -> None:
    # It listens, and nobody accepts.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        gateway = await start_with(
            {**QUICKLY, "auth.oidc.jwks_client.FETCH_TIMEOUT_SECONDS": 0.05},
            jwks_url="http://{}:{}/keys".format(*silent.getsockname()),
        )
        assert await ask(gateway, signed(RSA, "r")) == (503, "keys_unavailable")


async def test_a_fetch_that_runs_ends_with_the_gateway() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = "http://{}:{}/keys".format(*silent.getsockname())
        source = KeySource(ISSUER, address, "", frozenset({"RS256"}), None, 60)
        before = asyncio.all_tasks()
        async with client_session() as http:
            client = JWKSClient(http, source)
            find = asyncio.create_task(client.find("r", "RS256"))
            await eventually(lambda: len(asyncio.all_tasks() - before) > 1)
            find.cancel()
            await client.close()
            await asyncio.gather(find, return_exceptions=True)
            assert asyncio.all_tasks() == before


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "ES384", "EdDSA"])
async def test_each_algorithm_is_accepted_only_if_the_file_names_it(
    start_with: Callable[..., Any], issuer: Issuer, ask: Callable[..., Any], algorithm: str
) -> None:
    key: Any = {
        "ES256": EC,
        "ES384": ec.generate_private_key(ec.SECP384R1()),
        "EdDSA": ed25519.Ed25519PrivateKey.generate(),
    }.get(algorithm, RSA)
    issuer.keys = [published(key, "k"), published(OTHER_RSA, "o"), published(EC, "e")]
    bearer = signed(key, "k", algorithm=algorithm)
    assert await ask(await start_with(algorithms=[algorithm]), bearer) == 200
    other = "ES256" if algorithm != "ES256" else "RS256"
    assert await ask(await start_with(algorithms=[other]), bearer) == REFUSED


async def test_the_keys_are_found_by_discovery(
    start_with: Callable[..., Any], issuer: Issuer, ask: Callable[..., Any]
) -> None:
    issuer.keys = [published(RSA, "r")]
    gateway = await start_with(jwks_url=None, discovery_url=issuer.discovery_url)
    assert await ask(gateway, signed(RSA, "r")) == 200


@pytest.mark.parametrize(
    "metadata",
    [
        {"issuer": f"{ISSUER}/"},
        {"jwks_uri": "http://login.example/keys"},
        {"jwks_uri": "https://login..example/keys"},
        {"jwks_uri": 7},
    ],
)
async def test_a_discovery_document_of_another_issuer_or_with_a_wrong_jwks_uri_is_not_used(
    start_with: Callable[..., Any], issuer: Issuer, ask: Callable[..., Any], metadata: Any
) -> None:
    issuer.keys, issuer.metadata = [published(RSA, "r")], metadata
    gateway = await start_with(jwks_url=None, discovery_url=issuer.discovery_url)
    assert await ask(gateway, signed(RSA, "r")) == (503, "keys_unavailable")

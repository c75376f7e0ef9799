"""Keys at an https URL whose certificate a private authority has issued."""

import ipaddress
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from gateway_fakes.issuer import published, rsa_key, signed

RSA = rsa_key("one")


def write_certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate of 127.0.0.1 that is its own authority, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Private authority")])
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, SHA256())
    )
    written, private = folder / "ca.pem", folder / "key.pem"
    written.write_bytes(certificate.public_bytes(Encoding.PEM))
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return written, private


@asynccontextmanager
async def published_over_tls(certificate: Path, key: Path) -> AsyncIterator[str]:
    """The URL of the keys."""

    async def keys(_: web.Request) -> web.Response:
        return web.json_response({"keys": [published(RSA, "r")]})

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    app = web.Application()
    app.router.add_get("/keys", keys)
    runner = web.AppRunner(app, shutdown_timeout=0.01)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        yield "https://{}:{}/keys".format(*runner.addresses[0])
    finally:
        await runner.cleanup()


async def test_a_private_authority_is_trusted_if_the_file_names_it(
    start_with: Callable[..., Any], ask: Callable[..., Any], tmp_path: Path
) -> None:
    async with published_over_tls(*write_certificate(tmp_path)) as url:
        trusting = await start_with(jwks_url=url, ca_file="ca.pem")
        assert await ask(trusting, signed(RSA, "r")) == 200
        other = await start_with(jwks_url=url)
        assert await ask(other, signed(RSA, "r")) == (503, "keys_unavailable")

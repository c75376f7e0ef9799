"""Certificates, keys and authorities from PEM files, checked before a connection needs them."""

import ssl
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from parley_core.runtime.text_files import InvalidFile, read_bytes


class InvalidCertificateFile(ValueError):
    """The message begins with the variable that names the file."""


def load_certificate(context: ssl.SSLContext, certificate_file: Path, key_file: Path) -> datetime:
    """Give the context the certificate and its key; return when it expires.

    Raises InvalidCertificateFile.
    """
    # OpenSSL's own errors name neither the file nor the cause, and it asks the terminal for the
    # password of a key.
    certificate = _certificates("PARLEY_TLS_CERTIFICATE_FILE", certificate_file)[0]
    _require_valid_now(certificate)
    if _key(key_file) != certificate.public_key().public_bytes(
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    ):
        raise InvalidCertificateFile(
            "PARLEY_TLS_KEY_FILE is wrong: it is not the key of the certificate in "
            "PARLEY_TLS_CERTIFICATE_FILE"
        )
    try:
        context.load_cert_chain(certificate_file, key_file)
    except (OSError, ssl.SSLError) as error:
        # Replaced since it was read, or refused by OpenSSL: a key that is too short.
        raise InvalidCertificateFile(
            "PARLEY_TLS_CERTIFICATE_FILE or PARLEY_TLS_KEY_FILE is wrong: "
            f"{getattr(error, 'reason', None) or error.strerror}"
        ) from None
    return certificate.not_valid_after_utc


def load_authorities(variable: str, file: Path) -> str:
    """Return the certificates of authorities as PEM. Raises InvalidCertificateFile."""
    authorities = _certificates(variable, file)
    if all(each.not_valid_after_utc < datetime.now(UTC) for each in authorities):
        raise InvalidCertificateFile(f"{variable} is wrong: all certificates in it have expired")
    return "".join(each.public_bytes(Encoding.PEM).decode() for each in authorities)


def _certificates(variable: str, file: Path) -> list[x509.Certificate]:
    """Return at least one."""
    try:
        return x509.load_pem_x509_certificates(_read(variable, file))
    except ValueError as error:
        if isinstance(error, InvalidCertificateFile):
            raise
        raise InvalidCertificateFile(
            f"{variable} is wrong: it should be the path of a file with certificates in PEM"
        ) from None


def _require_valid_now(certificate: x509.Certificate) -> None:
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    now = datetime.now(UTC)
    if now > ends:
        reason = f"the certificate has expired on {ends:%Y-%m-%d %H:%M} UTC"
    elif now < begins:
        reason = f"the certificate is not valid before {begins:%Y-%m-%d %H:%M} UTC"
    else:
        return
    raise InvalidCertificateFile(f"PARLEY_TLS_CERTIFICATE_FILE is wrong: {reason}")


def _key(file: Path) -> bytes:
    """Return its public key in DER."""
    variable = "PARLEY_TLS_KEY_FILE"
    content = _read(variable, file)
    try:
        key = load_pem_private_key(content, password=None)
    except TypeError:
        raise InvalidCertificateFile(
            f"{variable} is wrong: the key has a password; it should have none"
        ) from None
    except Exception:
        # cryptography raises ValueError, UnsupportedAlgorithm and errors of its own.
        raise InvalidCertificateFile(
            f"{variable} is wrong: it should be the path of a file with a private key in PEM"
        ) from None
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _read(variable: str, file: Path) -> bytes:
    try:
        return read_bytes(file)
    except InvalidFile as invalid:
        raise InvalidCertificateFile(f"{variable} is wrong: {invalid}") from None

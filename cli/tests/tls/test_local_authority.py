"""Certificates of the local authority: for this machine, and trusted for no other."""

import ssl
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from parley_cli.tls.local_authority import CERTIFICATE_DAYS, LocalAuthority


@pytest.fixture
def authority() -> LocalAuthority:
    return LocalAuthority.create("Parley on this machine")


def certificate_of(text: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(text.encode())


def names_of(text: str) -> set[str]:
    names = certificate_of(text).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return {str(name.value) for name in names.value}


def test_a_certificate_is_for_this_machine_and_the_address_of_its_gateway(
    authority: LocalAuthority,
) -> None:
    issued = authority.issue("gateway", ["192.168.1.7"])
    assert names_of(issued.certificate) == {"localhost", "127.0.0.1", "::1", "192.168.1.7"}
    days = certificate_of(issued.certificate).not_valid_after_utc - datetime.now(UTC)
    assert days < timedelta(CERTIFICATE_DAYS + 1)
    assert "PRIVATE" not in repr(issued)


def test_an_address_that_the_authority_may_not_certify_is_left_out(
    authority: LocalAuthority,
) -> None:
    assert "8.8.8.8" not in names_of(authority.issue("gateway", ["8.8.8.8"]).certificate)


def test_a_client_verifies_the_certificate_for_this_machine(authority: LocalAuthority) -> None:
    verify(authority, authority.issue("gateway").certificate, "localhost")


def test_a_certificate_for_another_host_is_not_trusted_although_the_authority_signed_it(
    authority: LocalAuthority,
) -> None:
    own = certificate_of(authority.issue("gateway").certificate)
    forged = x509.CertificateBuilder(
        own.issuer, own.subject, own.public_key(), 1, own.not_valid_before_utc,
        own.not_valid_after_utc,
    )  # fmt: skip
    for extension in own.extensions:
        value: x509.ExtensionType = extension.value
        if isinstance(value, x509.SubjectAlternativeName):
            value = x509.SubjectAlternativeName([x509.DNSName("bank.example")])
        forged = forged.add_extension(value, extension.critical)
    signed = forged.sign(authority._key, own.signature_hash_algorithm)  # type: ignore[arg-type]
    from cryptography.hazmat.primitives.serialization import Encoding

    with pytest.raises(VerificationError):
        verify(authority, signed.public_bytes(Encoding.PEM).decode(), "bank.example")


def test_an_authority_is_read_again_from_its_files(authority: LocalAuthority) -> None:
    again = LocalAuthority.parse(authority.certificate, authority.key)
    verify(authority, again.issue("session").certificate, "localhost")
    assert again.days_left > 3000


def test_a_key_of_another_authority_is_rejected(authority: LocalAuthority) -> None:
    other = LocalAuthority.create("other")
    with pytest.raises(ValueError, match="not that of the certificate"):
        LocalAuthority.parse(authority.certificate, other.key)


def verify(authority: LocalAuthority, certificate: str, name: str) -> None:
    store = Store([certificate_of(authority.certificate)])
    verifier = PolicyBuilder().store(store).build_server_verifier(x509.DNSName(name))
    verifier.verify(certificate_of(certificate), [])
    # OpenSSL can read it, too.
    ssl.create_default_context(cadata=authority.certificate)

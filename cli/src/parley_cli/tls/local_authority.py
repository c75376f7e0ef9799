"""Certificate authority of one machine, whose certificates are valid for that machine only.

Source of the extensions: https://www.rfc-editor.org/rfc/rfc5280#section-4.2
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

# People trust the authority once, and a thief of its key can imitate only these.
PERMITTED_NAME = "localhost"
PERMITTED_NETWORKS = tuple(
    map(
        ip_network,
        ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128", "fc00::/7"),
    )
)
AUTHORITY_DAYS = 3650
# Browsers refuse certificates that are valid for longer than 398 days.
CERTIFICATE_DAYS = 365
_CLOCK_SKEW = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class IssuedCertificate:
    """Both in PEM."""

    certificate: str
    key: str = field(repr=False)


class LocalAuthority:
    """Issues certificates for servers and their clients."""

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self._certificate, self._key = certificate, key

    @classmethod
    def create(cls, name: str) -> "LocalAuthority":
        key = ec.generate_private_key(ec.SECP256R1())
        permitted = [
            x509.DNSName(PERMITTED_NAME),
            *(x509.IPAddress(network) for network in PERMITTED_NETWORKS),
        ]
        builder = _builder(name, name, key.public_key(), AUTHORITY_DAYS)
        certificate = (
            builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(of_authority=True), critical=True)
            .add_extension(x509.NameConstraints(permitted, None), critical=True)
            .sign(key, hashes.SHA256())
        )
        return cls(certificate, key)

    @classmethod
    def parse(cls, certificate: str, key: str) -> "LocalAuthority":
        """Raises ValueError."""
        private = load_pem_private_key(key.encode(), password=None)
        parsed = x509.load_pem_x509_certificate(certificate.encode())
        if not isinstance(private, ec.EllipticCurvePrivateKey) or (
            private.public_key() != parsed.public_key()
        ):
            raise ValueError("the key is not that of the certificate")
        return cls(parsed, private)

    @property
    def certificate(self) -> str:
        """In PEM."""
        return self._certificate.public_bytes(Encoding.PEM).decode()

    @property
    def key(self) -> str:
        """In PEM."""
        return _private_pem(self._key)

    @property
    def days_left(self) -> int:
        return (self._certificate.not_valid_after_utc - datetime.now(UTC)).days

    def issue(
        self, name: str, addresses: Sequence[str] = (), *, days: int = CERTIFICATE_DAYS
    ) -> IssuedCertificate:
        """Issue a certificate for this machine, and for the IP `addresses` that are permitted.

        It is valid for a server and for its calls to others.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        hosts = dict.fromkeys(map(ip_address, ("127.0.0.1", "::1", *addresses)))
        permitted = [each for each in hosts if any(each in one for one in PERMITTED_NETWORKS)]
        names = [x509.DNSName(PERMITTED_NAME), *map(x509.IPAddress, permitted)]
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        issuer_name = self._certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        certificate = (
            _builder(name, str(issuer_name[0].value), key.public_key(), days)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(of_authority=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(issuer, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return IssuedCertificate(certificate.public_bytes(Encoding.PEM).decode(), _private_pem(key))


def _builder(
    name: str, issuer: str, key: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return x509.CertificateBuilder(
        _name(issuer),
        _name(name),
        key,
        x509.random_serial_number(),
        # A negative number of days: one that has expired.
        min(now, now + timedelta(days=days)) - _CLOCK_SKEW,
        now + timedelta(days=days),
    ).add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)


def _name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _key_usage(*, of_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=of_authority,
        crl_sign=of_authority,
        encipher_only=False,
        decipher_only=False,
    )


def _private_pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()

"""Certificates in files, and a program of settings that names them."""

import ssl
from pathlib import Path

from parley_cli.tls.local_authority import LocalAuthority
from parley_core.runtime.settings import Settings
from parley_core.tls.tls_settings import TlsGroup, TlsSettings


class ProcessSettings(Settings):
    tls: TlsGroup = TlsSettings()


class CertificateFiles:
    """`authority.pem`, and certificates of it, in a folder."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        folder.mkdir(exist_ok=True)
        self.folder, self.authority = folder, LocalAuthority.create(name)
        self.authority_file = folder / "authority.pem"
        self.authority_file.write_text(self.authority.certificate)

    def write(self, name: str, days: int = 1) -> tuple[Path, Path]:
        """Issue a certificate; return its file and that of its key."""
        issued = self.authority.issue(name, days=days)
        certificate, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        key.write_text(issued.key)
        certificate.write_text(issued.certificate)
        return certificate, key

    def variables(self, name: str, days: int = 1) -> dict[str, str]:
        """Issue a certificate; return the variables of a service that has it."""
        certificate, key = self.write(name, days)
        return {
            "PARLEY_TLS_CERTIFICATE_FILE": str(certificate),
            "PARLEY_TLS_KEY_FILE": str(key),
            "PARLEY_TLS_CA_FILE": str(self.authority_file),
        }

    def client(self, name: str | None = None) -> ssl.SSLContext:
        """A client that trusts the authority, with a certificate of that name."""
        context = ssl.create_default_context(cafile=str(self.authority_file))
        # As Python 3.13 does by default.
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        if name is not None:
            context.load_cert_chain(*self.write(name))
        return context

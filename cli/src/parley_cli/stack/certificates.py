"""Certificates of a stack with TLS: a local authority and what it issues, in the data folder."""

import contextlib
import hashlib
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path

from parley_cli.engines import EngineTls
from parley_cli.engines.private_file import write_private
from parley_cli.errors import CommandError
from parley_cli.tls.local_authority import PERMITTED_NAME, PERMITTED_NETWORKS, LocalAuthority
from parley_core.http.listening_sockets import ANY_HOST
from parley_core.tls.tls_settings import TlsSettings

# An authority outlives the certificates that it issues, or a new one replaces it.
MIN_DAYS_LEFT = 400


class StackCertificates:
    def __init__(self, data: Path) -> None:
        self._folder = data.resolve() / "tls"

    @property
    def authority_file(self) -> Path:
        return self._folder / "authority.pem"

    def issue(self, names: Sequence[str], host: str) -> None:
        """Issue a new certificate to each name, and create the authority if there is none.

        `host` is the address of the gateway. Raises CommandError.
        """
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        authority = self._authority()
        for name in names:
            issued = authority.issue(name, _addresses(host))
            write_private(self._folder / f"{name}.key", issued.key + issued.certificate)
            (self._folder / f"{name}.pem").write_text(issued.certificate)

    def of_service(self, name: str, *, requires_certificates: bool) -> dict[str, str]:
        """The variables of a service that calls others, and that others call."""
        variables = {
            "PARLEY_TLS_CERTIFICATE_FILE": self._folder / f"{name}.pem",
            "PARLEY_TLS_KEY_FILE": self._folder / f"{name}.key",
            "PARLEY_TLS_CA_FILE": self.authority_file,
        }
        if requires_certificates:
            variables["PARLEY_TLS_CLIENT_CA_FILE"] = self.authority_file
        return {variable: str(file) for variable, file in variables.items()}

    def of_engine(self, name: str) -> EngineTls:
        files = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        return EngineTls(*files, self.authority_file)

    def of_command_line(self) -> TlsSettings:
        """For calls to the services. Raises CommandError."""
        try:
            return TlsSettings(
                certificate_file=self._folder / "cli.pem",
                key_file=self._folder / "cli.key",
                ca_file=self.authority_file,
            )
        except ValueError as error:
            raise CommandError(f"The certificates in {self._folder} cannot be used: {error}") from (
                None
            )

    def _authority(self) -> LocalAuthority:
        key_file = self._folder / "authority.key"
        if key_file.exists() and self.authority_file.exists():
            try:
                found = LocalAuthority.parse(self.authority_file.read_text(), key_file.read_text())
            except ValueError as error:
                raise CommandError(
                    f"{key_file} or {self.authority_file} is damaged ({error}): restore both, or "
                    "remove both and run `parley trust` again."
                ) from None
            if found.days_left >= MIN_DAYS_LEFT:
                return found
        # The name, by which a person finds it among those that the machine trusts.
        folder = hashlib.sha256(str(self._folder).encode()).hexdigest()[:8]
        authority = LocalAuthority.create(f"Parley on this machine ({folder})")
        write_private(key_file, authority.key)
        self.authority_file.write_text(authority.certificate)
        return authority


def _addresses(host: str) -> list[str]:
    """The address of the gateway, if not every certificate has it.

    Raises CommandError if the authority may not certify it.
    """
    with contextlib.suppress(ValueError):
        if ip_address(host).is_unspecified:
            return []
        if any(ip_address(host) in each for each in PERMITTED_NETWORKS):
            return [host]
    if host in (PERMITTED_NAME, ANY_HOST):
        return []
    raise CommandError(
        f"A certificate of `parley up --tls` cannot be for {host}: set PARLEY_HOST to localhost, "
        "or to an address of this machine in a private network."
    )

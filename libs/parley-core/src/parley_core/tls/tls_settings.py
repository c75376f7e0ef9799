"""Settings of TLS: certificate of a service, authorities of its callers and of those it calls."""

import ssl
from datetime import datetime
from pathlib import Path
from typing import Annotated

from pydantic import Field, PrivateAttr, model_validator

from parley_core.runtime.settings import Prefix, SettingsGroup
from parley_core.tls.certificate_files import load_authorities, load_certificate

# RFC 9325: older versions must not be used.
_MINIMUM_VERSION = ssl.TLSVersion.TLSv1_2


class TlsSettings(SettingsGroup):
    """The files are read and checked when the settings are loaded.

    Their variables are known to `certificate_files`, so the group belongs under PARLEY_TLS_.
    """

    certificate_file: Path | None = Field(
        default=None,
        description="the path of a PEM file with the certificate of this service, and after it "
        "those of intermediate authorities; the main port then accepts only TLS, and calls to "
        "other services present it",
    )
    key_file: Path | None = Field(
        default=None, description="the path of a PEM file with its private key"
    )
    client_ca_file: Path | None = Field(
        default=None,
        description="the path of a PEM file with the certificate authorities of callers; callers "
        "without a certificate of theirs are refused",
    )
    ca_file: Path | None = Field(
        default=None,
        description="the path of a PEM file with the certificate authorities of the services that "
        "this one calls; by default those of the operating system",
    )

    _server: ssl.SSLContext | None = PrivateAttr(None)
    _client: ssl.SSLContext | bool = PrivateAttr(True)
    _expires_at: datetime | None = PrivateAttr(None)

    @property
    def server(self) -> ssl.SSLContext | None:
        """For the next connection that is accepted; None: without TLS."""
        return self._server

    @property
    def client(self) -> ssl.SSLContext | bool:
        """For the next connection to a service whose URL is https; True: aiohttp's default."""
        return self._client

    @property
    def expires_at(self) -> datetime | None:
        """When the certificate expires; None: without TLS."""
        return self._expires_at

    def replace(self, fresh: "TlsSettings") -> None:
        """Use the certificates of `fresh` for new connections. Open ones keep theirs."""
        self._server, self._client = fresh._server, fresh._client
        self._expires_at = fresh._expires_at

    @model_validator(mode="after")
    def _load(self) -> "TlsSettings":
        own = self.certificate_file, self.key_file
        if any(own) and not all(own):
            name = "PARLEY_TLS_KEY_FILE" if self.certificate_file else "PARLEY_TLS_CERTIFICATE_FILE"
            raise ValueError(
                f"{name} is not set. PARLEY_TLS_CERTIFICATE_FILE and PARLEY_TLS_KEY_FILE belong "
                "together"
            )
        if self.client_ca_file and not any(own):
            raise ValueError(
                "PARLEY_TLS_CERTIFICATE_FILE is not set. PARLEY_TLS_CLIENT_CA_FILE needs it: "
                "without a certificate, the main port does not speak TLS"
            )
        self._server, self._client = self._server_context(), self._client_context()
        return self

    def _server_context(self) -> ssl.SSLContext | None:
        if not (self.certificate_file and self.key_file):
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = _MINIMUM_VERSION
        context.set_alpn_protocols(["http/1.1"])
        self._expires_at = load_certificate(context, self.certificate_file, self.key_file)
        if self.client_ca_file:
            authorities = load_authorities("PARLEY_TLS_CLIENT_CA_FILE", self.client_ca_file)
            context.load_verify_locations(cadata=authorities)
            context.verify_mode = ssl.CERT_REQUIRED
            # A resumed session would not verify the certificate of the caller again.
            context.num_tickets = 0
            context.options |= ssl.OP_NO_TICKET
        return context

    def _client_context(self) -> ssl.SSLContext | bool:
        if not (self.ca_file or self.certificate_file):
            return True
        authorities = load_authorities("PARLEY_TLS_CA_FILE", self.ca_file) if self.ca_file else None
        context = ssl.create_default_context(cadata=authorities)
        context.minimum_version = _MINIMUM_VERSION
        context.set_alpn_protocols(["http/1.1"])
        if self.certificate_file and self.key_file:
            load_certificate(context, self.certificate_file, self.key_file)
        return context


TlsGroup = Annotated[TlsSettings, Prefix("PARLEY_TLS_")]

"""Settings of every process that connects to Kafka: bootstrap servers, TLS and SASL."""

import ssl
from pathlib import Path
from typing import Literal, Self

from aiokafka.helpers import create_ssl_context
from pydantic import Field, PrivateAttr, SecretStr, model_validator

from parley_core.log.brokers import Brokers, OAuthTokenFile, SaslPassword
from parley_core.runtime.settings import BootstrapServers, SettingsGroup

SecurityProtocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
SaslMechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"]


class KafkaSecuritySettings(SettingsGroup):
    """TLS and SASL in Kafka's own terms; files are PEM.

    Without a CA file, the certificate authorities of the operating system are trusted.
    """

    security_protocol: SecurityProtocol = Field(
        "PLAINTEXT", description="PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL"
    )
    sasl_mechanism: SaslMechanism = Field(
        "SCRAM-SHA-512", description="PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER"
    )
    sasl_username: str | None = Field(None, description="the SASL user name")
    sasl_password: SecretStr | None = Field(None, description="the SASL password")
    sasl_token_path: Path | None = Field(
        None, description="the path of a file with the OAUTHBEARER token, read at each connection"
    )
    ssl_ca_path: Path | None = Field(
        None, description="the path of a PEM file with certificate authorities"
    )
    ssl_certificate_path: Path | None = Field(
        None, description="the path of a PEM file with the client's certificate"
    )
    ssl_key_path: Path | None = Field(
        None, description="the path of a PEM file with the client's private key"
    )

    # The clients keep it: what is loaded into it later counts for their new connections.
    _tls: ssl.SSLContext | None = PrivateAttr(None)
    _login: SaslPassword | OAuthTokenFile | None = PrivateAttr(None)

    def brokers_at(self, bootstrap_servers: str) -> Brokers:
        return Brokers(bootstrap_servers, self._tls, self._login)

    def replace(self, fresh: Self) -> None:
        """Use the password of `fresh` for new clients, and its certificates for new connections.

        Certificate authorities are added; those of before stay trusted until the next start.
        """
        if isinstance(self._login, SaslPassword) and isinstance(fresh._login, SaslPassword):
            self._login.replace(fresh._login)
        if self._tls is None:
            return
        if self.ssl_ca_path is not None:
            self._tls.load_verify_locations(self.ssl_ca_path)
        if self.ssl_certificate_path is not None:
            self._tls.load_cert_chain(self.ssl_certificate_path, self.ssl_key_path)

    @model_validator(mode="after")
    def _check(self) -> "KafkaSecuritySettings":
        self._login = self._credentials()
        if self.security_protocol.endswith("SSL"):
            # Loaded at the start, so that an unusable file fails here and not at a reconnect.
            self._tls = self._tls_context()
        return self

    def _credentials(self) -> SaslPassword | OAuthTokenFile | None:
        if not self.security_protocol.startswith("SASL"):
            return None
        if self.sasl_mechanism == "OAUTHBEARER":
            if self.sasl_token_path is None:
                raise ValueError(
                    "PARLEY_KAFKA_SASL_TOKEN_PATH is not set. OAUTHBEARER needs it: the path of "
                    "a file with the token"
                )
            return OAuthTokenFile(self.sasl_token_path)
        if self.sasl_username is None or self.sasl_password is None:
            raise ValueError(
                "PARLEY_KAFKA_SASL_USERNAME or PARLEY_KAFKA_SASL_PASSWORD is not set. "
                f"{self.sasl_mechanism} needs both"
            )
        password = self.sasl_password.get_secret_value()
        return SaslPassword(self.sasl_mechanism, self.sasl_username, password)

    def _tls_context(self) -> ssl.SSLContext:
        try:
            context: ssl.SSLContext = create_ssl_context(
                cafile=self.ssl_ca_path,
                certfile=self.ssl_certificate_path,
                keyfile=self.ssl_key_path,
            )
            return context
        except (OSError, ssl.SSLError) as error:
            raise ValueError(
                "PARLEY_KAFKA_SSL_CA_PATH, …_SSL_CERTIFICATE_PATH or …_SSL_KEY_PATH cannot be "
                f"used: {error.strerror or type(error).__name__}. They should be the paths of PEM "
                "files"
            ) from None


class KafkaSettings(KafkaSecuritySettings):
    """Belongs under the prefix PARLEY_KAFKA_, which all services share."""

    bootstrap_servers: BootstrapServers

    @property
    def brokers(self) -> Brokers:
        return self.brokers_at(self.bootstrap_servers)

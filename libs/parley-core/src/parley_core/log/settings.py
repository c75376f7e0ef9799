"""The variables that say where Kafka is and how to be let in; every process of the log has them."""

import ssl
from pathlib import Path
from typing import Literal

from aiokafka.helpers import create_ssl_context
from pydantic import Field, PrivateAttr, SecretStr, model_validator

from parley_core.log.brokers import Brokers, OAuthTokenFile, SaslPassword
from parley_core.runtime.settings import BootstrapServers, Settings

SecurityProtocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
SaslMechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"]


class KafkaSecurity(Settings):
    """How a client is let in, in Kafka's own words; files are PEM.

    Without a file of certificate authorities, those of the system are trusted.
    """

    kafka_security_protocol: SecurityProtocol = Field(
        "PLAINTEXT", description="PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL"
    )
    kafka_sasl_mechanism: SaslMechanism = Field(
        "SCRAM-SHA-512", description="PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER"
    )
    kafka_sasl_username: str | None = None
    kafka_sasl_password: SecretStr | None = None
    kafka_sasl_token_file: Path | None = None
    kafka_ssl_ca_file: Path | None = None
    kafka_ssl_certificate_file: Path | None = None
    kafka_ssl_key_file: Path | None = None

    _tls: ssl.SSLContext | None = PrivateAttr(None)

    def brokers_at(self, bootstrap: str) -> Brokers:
        return Brokers(bootstrap, self._tls, self._login())

    @model_validator(mode="after")
    def _usable(self) -> "KafkaSecurity":
        self._login()
        if self.kafka_security_protocol.endswith("SSL"):
            # Read once, at the start: a file that is wrong must not be found out at night.
            self._tls = self._tls_context()
        return self

    def _login(self) -> SaslPassword | OAuthTokenFile | None:
        if not self.kafka_security_protocol.startswith("SASL"):
            return None
        if self.kafka_sasl_mechanism == "OAUTHBEARER":
            if self.kafka_sasl_token_file is None:
                raise ValueError(
                    "PARLEY_KAFKA_SASL_TOKEN_FILE is not set. OAUTHBEARER needs it: the path of "
                    "a file with the token"
                )
            return OAuthTokenFile(self.kafka_sasl_token_file)
        if self.kafka_sasl_username is None or self.kafka_sasl_password is None:
            raise ValueError(
                "PARLEY_KAFKA_SASL_USERNAME or PARLEY_KAFKA_SASL_PASSWORD is not set. "
                f"{self.kafka_sasl_mechanism} needs both"
            )
        password = self.kafka_sasl_password.get_secret_value()
        return SaslPassword(self.kafka_sasl_mechanism, self.kafka_sasl_username, password)

    def _tls_context(self) -> ssl.SSLContext:
        try:
            context: ssl.SSLContext = create_ssl_context(
                cafile=self.kafka_ssl_ca_file,
                certfile=self.kafka_ssl_certificate_file,
                keyfile=self.kafka_ssl_key_file,
            )
            return context
        except (OSError, ssl.SSLError) as error:
            raise ValueError(
                "PARLEY_KAFKA_SSL_CA_FILE, …_SSL_CERTIFICATE_FILE or …_SSL_KEY_FILE cannot be "
                f"used: {error.strerror or type(error).__name__}. They should be the paths of PEM "
                "files"
            ) from None


class LogSettings(KafkaSecurity):
    """What every process has that reads or writes the log."""

    kafka: BootstrapServers

    @property
    def brokers(self) -> Brokers:
        return self.brokers_at(self.kafka)

"""How clients reach an embedded Kafka: its address, password and certificate authority."""

import ssl
from dataclasses import dataclass, field
from pathlib import Path

from parley_core.log import Brokers
from parley_core.log.brokers import SaslPassword

USER = "parley"
MECHANISM = "PLAIN"


@dataclass(frozen=True, slots=True)
class KafkaAccess:
    """Without a password, any process of the machine may connect."""

    bootstrap: str
    password: str | None = field(default=None, repr=False)
    authority_file: Path | None = None

    @property
    def protocol(self) -> str:
        transport = "SSL" if self.authority_file else "PLAINTEXT"
        return f"SASL_{transport}" if self.password else transport

    @property
    def brokers(self) -> Brokers:
        tls = None
        if self.authority_file:
            tls = ssl.create_default_context(cafile=str(self.authority_file))
        login = SaslPassword(MECHANISM, USER, self.password) if self.password else None
        return Brokers(self.bootstrap, tls, login)

    @property
    def variables(self) -> dict[str, str]:
        """The environment variables with which a service finds the log."""
        variables = {
            "PARLEY_KAFKA_BOOTSTRAP_SERVERS": self.bootstrap,
            "PARLEY_KAFKA_SECURITY_PROTOCOL": self.protocol,
        }
        if self.password:
            variables["PARLEY_KAFKA_SASL_MECHANISM"] = MECHANISM
            variables["PARLEY_KAFKA_SASL_USERNAME"] = USER
            variables["PARLEY_KAFKA_SASL_PASSWORD"] = self.password
        if self.authority_file:
            variables["PARLEY_KAFKA_SSL_CA_PATH"] = str(self.authority_file)
        return variables

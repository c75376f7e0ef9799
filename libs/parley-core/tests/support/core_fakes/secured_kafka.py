"""A Kafka broker with listeners that require a client certificate, a password or a token."""

import base64
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from parley_cli.engines import KafkaServer, free_port
from parley_cli.engines.kafka.kafka_server import JAVA_OPTIONS, SHORT_RUN_OPTIONS
from parley_cli.tls.local_authority import LocalAuthority

USER, PASSWORD = "parley", "a password of the tests"

_PROPERTIES = """
listeners=CLIENTS://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port},TLS://127.0.0.1:{tls},PASSWORD://127.0.0.1:{password},TOKEN://127.0.0.1:{token}
advertised.listeners=CLIENTS://127.0.0.1:{port},TLS://127.0.0.1:{tls},PASSWORD://127.0.0.1:{password},TOKEN://127.0.0.1:{token}
listener.security.protocol.map=CLIENTS:PLAINTEXT,CONTROLLER:PLAINTEXT,TLS:SSL,PASSWORD:SASL_SSL,TOKEN:SASL_PLAINTEXT
ssl.keystore.type=PEM
ssl.keystore.location={folder}/broker.pem
ssl.truststore.type=PEM
ssl.truststore.location={folder}/authority.pem
listener.name.tls.ssl.client.auth=required
listener.name.password.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.password.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_parley="{plain_password}";
listener.name.password.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.password.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.token.sasl.enabled.mechanisms=OAUTHBEARER
listener.name.token.oauthbearer.sasl.jaas.config=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";
"""  # noqa: E501


class SecuredKafka(KafkaServer):
    """A secured broker; `files` holds `authority.pem`, `client.pem` (with its key) and `token`."""

    java_options = (*SHORT_RUN_OPTIONS, *JAVA_OPTIONS)
    format_options = tuple(
        f"--add-scram=SCRAM-SHA-{bits}=[name={USER},password={PASSWORD}]" for bits in (256, 512)
    )

    def __init__(self, folder: Path, cache: Path) -> None:
        super().__init__(folder, cache, free_port(), controller_port := free_port())
        self.files = folder
        self._more = {
            "port": self.port,
            "controller_port": controller_port,
            "tls": free_port(),
            "password": free_port(),
            "token": free_port(),
            "folder": folder,
            "plain_password": PASSWORD,
        }
        _write_certificates(folder)
        (folder / "token").write_text(_unsigned_token() + "\n")

    def bootstrap_of(self, listener: str) -> str:
        """`host:port` of the listener tls, password or token."""
        return f"127.0.0.1:{self._more[listener]}"

    async def restart_with(self, password: str) -> None:
        """Change the password for PLAIN; all connections end."""
        await self.stop()
        self._more["plain_password"] = password
        await self.start()

    def _write_properties(self, records: str) -> str:
        name = super()._write_properties(records)
        with (self._folder / name).open("a") as properties:
            properties.write(_PROPERTIES.format(**self._more))
        return name


@asynccontextmanager
async def secured_kafka(folder: Path, cache: Path) -> AsyncIterator[SecuredKafka]:
    """Runs in the block."""
    server = SecuredKafka(folder, cache)
    await server.start()
    yield server
    await server.stop()


def _write_certificates(folder: Path) -> None:
    authority = LocalAuthority.create("authority")
    (folder / "authority.pem").write_text(authority.certificate)
    for name in ("broker", "client"):
        issued = authority.issue(name)
        (folder / f"{name}.pem").write_text(issued.key + issued.certificate)


def _unsigned_token() -> str:
    """Return an unsecured JWT, for a broker without a token issuer (RFC 7515, appendix A.5)."""
    now = int(time.time())
    claims = {"sub": USER, "iat": now, "exp": now + 3600}
    parts = (json.dumps(part).encode() for part in ({"alg": "none"}, claims))
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts) + "."

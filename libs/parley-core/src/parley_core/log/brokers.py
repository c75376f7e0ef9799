"""Kafka connection: bootstrap servers and authentication by TLS, SASL, both or neither.

Source: https://kafka.apache.org/documentation/#security
"""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from ssl import SSLContext
from typing import Any

from aiokafka.abc import AbstractTokenProvider


@dataclass(slots=True)
class SaslPassword:
    """SASL credentials for PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512.

    A client of aiokafka keeps those of its start for all of its connections.
    """

    mechanism: str
    username: str
    password: str = field(repr=False)

    def replace(self, fresh: "SaslPassword") -> None:
        """Use the credentials of `fresh` for clients that start from now on."""
        self.username, self.password = fresh.username, fresh.password


@dataclass(frozen=True, slots=True)
class OAuthTokenFile:
    """SASL credentials for OAUTHBEARER: the path of a token that is rotated in place."""

    path: Path


@dataclass(frozen=True, slots=True)
class Brokers:
    """How to reach a Kafka cluster; `bootstrap` is `host:port,…`.

    With `tls` the certificates and host names of the brokers are verified.
    """

    bootstrap: str
    tls: SSLContext | None = field(default=None, repr=False)
    login: SaslPassword | OAuthTokenFile | None = None

    def client_settings(self) -> dict[str, Any]:
        """The connection arguments of every aiokafka client."""
        return {
            "bootstrap_servers": self.bootstrap,
            "security_protocol": self.security_protocol,
            "ssl_context": self.tls,
            **_login_settings(self.login),
        }

    @property
    def security_protocol(self) -> str:
        transport = "SSL" if self.tls else "PLAINTEXT"
        return f"SASL_{transport}" if self.login else transport


def _login_settings(login: SaslPassword | OAuthTokenFile | None) -> dict[str, Any]:
    match login:
        case None:
            return {}
        case SaslPassword():
            return {
                "sasl_mechanism": login.mechanism,
                "sasl_plain_username": login.username,
                "sasl_plain_password": login.password,
            }
        case OAuthTokenFile():
            return {
                "sasl_mechanism": "OAUTHBEARER",
                "sasl_oauth_token_provider": _TokenFileProvider(login.path),
            }


class _TokenFileProvider(AbstractTokenProvider):  # type: ignore[misc]
    """Reads the token file for each connection, so that a rotated token is used."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def token(self) -> str:
        return (await asyncio.to_thread(self._path.read_text)).strip()

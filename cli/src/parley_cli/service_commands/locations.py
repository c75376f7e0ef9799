"""Locations of the log, the stores and their secrets: from variables or the running stack."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from parley_cli.errors import CommandError
from parley_cli.stack.certificates import StackCertificates
from parley_cli.stack.embedded_engines import embedded_kafka, embedded_redis_url
from parley_cli.stack.secret_store import SecretStore
from parley_cli.stack.stack_settings import OperationsSettings
from parley_cli.stack.state_file import RunningProcess, read_running_stack
from parley_cli.stack.up.databases_sql import ServiceDatabase
from parley_cli.stack.up.environments import kafka_environment
from parley_core.auth.service_keys import SigningKey
from parley_core.log import Brokers
from parley_core.tls.tls_settings import TlsSettings


class StackNotRunning(CommandError):
    """Neither a variable nor a running stack has the location; the message is a sentence."""


@dataclass(frozen=True, slots=True)
class SessionAccess:
    """How the command line calls the session service, such as for the keys of sealed fields."""

    url: str
    key: SigningKey
    tls: TlsSettings | None = None


class StackLocations:
    """The locations in the stack of the data folder, each overridable by a variable."""

    def __init__(self, settings: OperationsSettings) -> None:
        self._settings = settings
        self._secrets = SecretStore(settings.data)
        self._stack = stack = read_running_stack(settings.data)
        self._running = {process.name: process for process in stack.processes} if stack else {}

    def brokers(self) -> Brokers:
        """Raises StackNotRunning."""
        if self._settings.kafka:
            return self._settings.kafka_security.brokers_at(self._settings.kafka)
        kafka = self._process("kafka", "PARLEY_KAFKA")
        # An embedded Kafka has a process ID here.
        return (
            embedded_kafka(self._settings.data, self._stack, kafka.address).brokers
            if kafka.pid
            else self._settings.kafka_security.brokers_at(kafka.address)
        )

    def log_environment(self) -> Mapping[str, str]:
        """The variables with which a child finds the log. Raises StackNotRunning."""
        if self._settings.kafka:
            return kafka_environment(self._settings.kafka)
        kafka = self._process("kafka", "PARLEY_KAFKA")
        if kafka.pid:
            return embedded_kafka(self._settings.data, self._stack, kafka.address).variables
        return kafka_environment(kafka.address)

    def topic_environment(self) -> Mapping[str, str]:
        """The settings of a topic that is created again: those of `parley up`, where it runs."""
        if not self._running:
            return {}
        settings = self._settings
        return {
            "PARLEY_SESSION_TOPIC_PARTITIONS": str(settings.topic_partitions),
            "PARLEY_SESSION_TOPIC_REPLICATION": str(settings.topic_replication),
            "PARLEY_SESSION_TOPIC_MIN_ISR": str(settings.topic_min_isr),
        }

    def session_database(self) -> str:
        """Raises StackNotRunning, SecretLost."""
        return self._settings.session_database_url or self._database("session")

    def history_database(self) -> str:
        """Raises StackNotRunning, SecretLost."""
        return self._settings.history_database_url or self._database("history")

    def session_access(self) -> SessionAccess:
        """Raises StackNotRunning, SecretLost, CommandError."""
        return SessionAccess(self.session_url(), self.signing_key(), self.session_tls())

    def session_url(self) -> str:
        """Raises StackNotRunning."""
        if self._settings.session_url:
            return self._settings.session_url
        address = self._process("session", "PARLEY_SESSION_URL").address
        return f"{'https' if self._has_tls else 'http'}://{address}"

    def session_tls(self) -> TlsSettings:
        """For calls to the session service. Raises CommandError."""
        if self._settings.session_url or not self._has_tls:
            return self._settings.tls
        return StackCertificates(self._settings.data).of_command_line()

    def signing_key(self) -> SigningKey:
        """The key of the command line. Raises StackNotRunning, SecretLost."""
        if key := self._settings.signing_key or self._secrets.signing_key("cli"):
            return key
        raise self._missing("cli-signing-key", "PARLEY_SIGNING_KEY")

    def master_key_environment(self) -> Mapping[str, str]:
        """Empty if there is no master key. Raises SecretLost."""
        secret = self._settings.master_key
        key = secret.get_secret_value() if secret else self._secrets.existing("master-key")
        return {"PARLEY_MASTER_KEY": key} if key else {}

    def redis_environment(self) -> Mapping[str, str]:
        """Empty if neither a variable nor the stack has an embedded Redis."""
        redis = self._running.get("redis")
        # The address of an external one lacks its credentials.
        embedded = embedded_redis_url(self._settings.data, redis) if redis and redis.pid else None
        url = self._settings.redis_url or self._settings.redis or embedded
        return {"PARLEY_REDIS_URL": str(url)} if url else {}

    def _database(self, service: str) -> str:
        variable = f"PARLEY_{service.upper()}_DATABASE_URL"
        server = self._settings.postgres
        if server is None:
            server = f"postgresql://{self._process('postgres', variable).address}/postgres"
        password = self._secret(f"{service}-database", variable)
        return ServiceDatabase(f"parley_{service}", password).dsn(server)

    def _process(self, name: str, variable: str) -> RunningProcess:
        if process := self._running.get(name):
            return process
        raise StackNotRunning(
            f"No stack runs on {self._data}: start one with `parley up`, set {variable}, or set "
            "PARLEY_DATA to the folder of a running stack."
        )

    def _secret(self, name: str, variable: str) -> str:
        if secret := self._secrets.existing(name):
            return secret
        raise self._missing(name, variable)

    def _missing(self, name: str, variable: str) -> StackNotRunning:
        return StackNotRunning(
            f"{self._data / 'secrets'} has no {name}: set {variable}, or set PARLEY_DATA to the "
            "folder of a stack."
        )

    @property
    def are_offline(self) -> bool:
        """Whether the event store is in the data folder, and no stack runs on it."""
        settings = self._settings
        return not (
            self._running or settings.session_database_url or (settings.postgres and settings.kafka)
        ) and bool(settings.postgres or (settings.data / "postgres").exists())

    @property
    def _has_tls(self) -> bool:
        return self._stack is not None and self._stack.has_tls

    @property
    def _data(self) -> Path:
        return self._settings.data.resolve()

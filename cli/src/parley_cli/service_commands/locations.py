"""Where the log, the stores and their secrets are: what variables say, else the stack that runs."""

from collections.abc import Mapping
from pathlib import Path

from parley_cli.settings import LogCommandSettings, variables
from parley_cli.stack.secret_store import SecretStore
from parley_cli.stack.state_file import RunningProcess, read_stack
from parley_cli.stack.up.databases import EmbeddedDatabase
from parley_cli.stack.up.environments import kafka_security
from parley_core.auth.principal import InternalSecret
from parley_core.log import Brokers


class StackNotRunning(Exception):
    """Neither a variable nor a running stack says it; the message is a sentence."""


class StackLocations:
    """Of the data folder's stack, and of what variables name instead."""

    def __init__(self, settings: LogCommandSettings) -> None:
        self._settings = settings
        self._kept = SecretStore(settings.data)
        stack = read_stack(settings.data)
        self._running = {process.name: process for process in stack.processes} if stack else {}

    def brokers(self) -> Brokers:
        """Raises StackNotRunning."""
        if self._settings.kafka:
            return self._settings.brokers_at(self._settings.kafka)
        kafka = self._process("kafka", "PARLEY_KAFKA")
        # An embedded one lets in whoever is on this machine.
        return Brokers(kafka.address) if kafka.pid else self._settings.brokers_at(kafka.address)

    def log_environment(self) -> Mapping[str, str]:
        """What a child needs to find the log. Raises StackNotRunning."""
        if self._settings.kafka:
            return {**kafka_security(), "PARLEY_KAFKA": self._settings.kafka}
        kafka = self._process("kafka", "PARLEY_KAFKA")
        security = {} if kafka.pid else kafka_security()
        return {**security, "PARLEY_KAFKA": kafka.address}

    def topic_environment(self) -> Mapping[str, str]:
        """What a topic that is made again must be: as `parley up` makes it, where that runs."""
        if not self._running:
            return variables("PARLEY_TOPIC_")
        made = self._settings
        return {
            "PARLEY_TOPIC_PARTITIONS": str(made.topic_partitions),
            "PARLEY_TOPIC_REPLICATION": str(made.topic_replication),
            "PARLEY_TOPIC_MIN_ISR": str(made.topic_min_isr),
        }

    def session_database(self) -> str:
        """Raises StackNotRunning, SecretLost."""
        return self._settings.session_database or self._database("session")

    def history_database(self) -> str:
        """Raises StackNotRunning, SecretLost."""
        return self._settings.history_database or self._database("history")

    def session_url(self) -> str:
        """Raises StackNotRunning."""
        if self._settings.session_url:
            return self._settings.session_url
        return f"http://{self._process('session', 'PARLEY_SESSION_URL').address}"

    def internal_secret(self) -> InternalSecret:
        """Raises StackNotRunning, SecretLost."""
        if given := self._settings.internal_secret:
            return InternalSecret.parse(given.get_secret_value())
        return InternalSecret.parse(self._kept_secret("internal-secret", "PARLEY_INTERNAL_SECRET"))

    def master_key_environment(self) -> Mapping[str, str]:
        """Empty where there is none. Raises SecretLost."""
        given = self._settings.master_key
        key = given.get_secret_value() if given else self._kept.existing("master-key")
        return {"PARLEY_MASTER_KEY": key} if key else {}

    def _database(self, owner: str) -> str:
        variable = f"PARLEY_{owner.upper()}_DATABASE"
        server = self._settings.postgres
        if server is None:
            server = f"postgresql://{self._process('postgres', variable).address}/postgres"
        password = self._kept_secret(f"{owner}-database", variable)
        return EmbeddedDatabase(f"parley_{owner}", password).dsn(server)

    def _process(self, name: str, variable: str) -> RunningProcess:
        if process := self._running.get(name):
            return process
        raise StackNotRunning(
            f"Nothing runs on {self._data}: `parley up` starts it. Or set {variable}, or "
            "PARLEY_DATA to the folder of a stack that runs."
        )

    def _kept_secret(self, name: str, variable: str) -> str:
        if secret := self._kept.existing(name):
            return secret
        raise StackNotRunning(
            f"There is no {name} in {self._data / 'secrets'}: set {variable}, or PARLEY_DATA to "
            "the folder of a stack."
        )

    @property
    def _data(self) -> Path:
        return self._settings.data.resolve()

"""Engine selection: embedded engines, or external ones at PARLEY_POSTGRES and the like."""

import logging
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg

from parley_cli.engines import (
    EngineError,
    EngineTls,
    KafkaServer,
    PostgresServer,
    RedisServer,
    record_kafka_aot_cache,
)
from parley_cli.engines.health_probes import kafka_answers, postgres_answers, redis_pid
from parley_cli.engines.kafka.kafka_server import OnDownload
from parley_cli.settings import user_cache_folder
from parley_cli.stack.secret_store import KAFKA_PASSWORD, REDIS_PASSWORD, SecretStore
from parley_cli.stack.stack_settings import UpSettings
from parley_cli.stack.state_file import RunningProcess
from parley_cli.stack.up.addresses import join_host_port
from parley_cli.stack.up.environments import kafka_environment
from parley_core.log import Brokers

_log = logging.getLogger(__name__)


class EngineSelection:
    def __init__(
        self,
        settings: UpSettings,
        data: Path,
        ports: Iterator[int],
        on_download: OnDownload,
        tls: EngineTls | None,
    ) -> None:
        """`tls` is for Kafka: the packages of PostgreSQL and Redis are built without TLS."""
        secrets = SecretStore(data)
        self._settings, self._data, self._cache = settings, data, user_cache_folder()
        self._recording_ports = next(ports), next(ports)
        self.postgres = None if settings.postgres else PostgresServer(data, next(ports))
        kafka_ports = next(ports), next(ports)
        self.kafka = (
            None
            if settings.kafka
            else KafkaServer(
                data,
                self._cache,
                *kafka_ports,
                on_download=on_download,
                password=secrets.password(KAFKA_PASSWORD),
                tls=tls,
            )
        )
        self.redis = (
            None
            if settings.redis
            else RedisServer(data, next(ports), password=secrets.password(REDIS_PASSWORD))
        )

    @property
    def embedded(self) -> list[PostgresServer | KafkaServer | RedisServer]:
        return [server for server in (self.postgres, self.kafka, self.redis) if server]

    @property
    def brokers(self) -> Brokers:
        if self.kafka:
            return self.kafka.access.brokers
        return self._settings.kafka_security.brokers_at(str(self._settings.kafka))

    @property
    def kafka_variables(self) -> dict[str, str]:
        """The environment variables with which a service finds the log."""
        if self.kafka:
            return self.kafka.access.variables
        return kafka_environment(str(self._settings.kafka))

    @property
    def postgres_url(self) -> str:
        """The URL of the server; without credentials if it is embedded."""
        if self.postgres:
            return f"postgresql://{self.postgres.address}/postgres"
        return str(self._settings.postgres)

    @property
    def redis_url(self) -> str:
        return self.redis.url if self.redis else str(self._settings.redis)

    def admin_dsn(self) -> str:
        """The DSN of a role that may create databases. An embedded server must be initialised."""
        return self.postgres.dsn() if self.postgres else str(self._settings.postgres)

    async def require_external(self) -> None:
        """Raise EngineError unless each external engine answers."""
        settings = self._settings
        if settings.postgres and not await _accepts_login(settings.postgres):
            raise EngineError("No PostgreSQL server answers at PARLEY_POSTGRES.")
        if settings.kafka and not await kafka_answers(self.brokers):
            raise EngineError(f"No Kafka broker answers at PARLEY_KAFKA ({settings.kafka}).")
        if settings.redis and await redis_pid(settings.redis) is None:
            raise EngineError("No Redis server answers at PARLEY_REDIS.")

    async def record_aot_cache(self) -> None:
        """Record the AOT cache of Kafka; without it, later starts are merely slower."""
        if self.kafka is None:
            return
        try:
            await record_kafka_aot_cache(self._data, self._cache, *self._recording_ports)
        except EngineError as error:
            _log.warning("AOT cache of Kafka not recorded; later starts stay slow: %s", error)

    def external_processes(self) -> Iterator[RunningProcess]:
        """The external engines, as `parley status` lists them."""
        if url := self._settings.postgres:
            yield RunningProcess("postgres", None, _address(url, 5432))
        if bootstrap := self._settings.kafka:
            yield RunningProcess("kafka", None, bootstrap)
        if url := self._settings.redis:
            yield RunningProcess("redis", None, _address(url, 6379))


async def _accepts_login(url: str) -> bool:
    try:
        return await postgres_answers(url)
    except asyncpg.InvalidAuthorizationSpecificationError:
        raise EngineError("PostgreSQL rejects the user or password in PARLEY_POSTGRES.") from None


def _address(url: str, default_port: int) -> str:
    parts = urlsplit(url)
    return join_host_port(parts.hostname or "localhost", parts.port or default_port)

"""The three engines of a stack: its own, or those that PARLEY_POSTGRES and the like point at."""

import logging
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg

from parley_cli.engines import (
    EngineError,
    KafkaServer,
    PostgresServer,
    RedisServer,
    record_kafka_start,
)
from parley_cli.engines.health_probes import kafka_answers, postgres_answers, redis_pid
from parley_cli.engines.kafka.jars import jars_in
from parley_cli.settings import UpSettings
from parley_cli.stack.state_file import RunningProcess
from parley_cli.stack.up.addresses import joined
from parley_core.log import Brokers

_log = logging.getLogger(__name__)


class EngineSelection:
    def __init__(self, settings: UpSettings, data: Path, ports: Iterator[int]) -> None:
        self._settings, self._data, self._cache = settings, data, data / "cache"
        self._ports_to_record = next(ports), next(ports)
        self.postgres = None if settings.postgres else PostgresServer(data, next(ports))
        self.kafka = (
            None if settings.kafka else KafkaServer(data, self._cache, next(ports), next(ports))
        )
        self.redis = None if settings.redis else RedisServer(data, next(ports))

    @property
    def embedded(self) -> list[PostgresServer | KafkaServer | RedisServer]:
        return [server for server in (self.postgres, self.kafka, self.redis) if server]

    @property
    def fetches_jars(self) -> bool:
        return self.kafka is not None and not all(jar.exists() for jar in jars_in(self._cache))

    @property
    def brokers(self) -> Brokers:
        if self.kafka:
            return Brokers(self.kafka.bootstrap)
        return self._settings.brokers_at(str(self._settings.kafka))

    @property
    def postgres_url(self) -> str:
        """Where PostgreSQL is; for an embedded one without a login."""
        if self.postgres:
            return f"postgresql://{self.postgres.address}/postgres"
        return str(self._settings.postgres)

    @property
    def redis_url(self) -> str:
        return self.redis.url if self.redis else str(self._settings.redis)

    def administrator(self) -> str:
        """The DSN of one who may make databases; an embedded server's once it has started."""
        return self.postgres.dsn() if self.postgres else str(self._settings.postgres)

    async def require_given(self) -> None:
        """Raise EngineError unless each engine that a variable points at answers."""
        given = self._settings
        if given.postgres and not await _lets_in(given.postgres):
            raise EngineError("No PostgreSQL answers where PARLEY_POSTGRES points.")
        if given.kafka and not await kafka_answers(self.brokers):
            raise EngineError(f"No Kafka answers where PARLEY_KAFKA points, at {given.kafka}.")
        if given.redis and await redis_pid(given.redis) is None:
            raise EngineError("No Redis answers where PARLEY_REDIS points.")

    async def quicken_later_starts(self) -> None:
        """Record Kafka's start, when nothing waits for it; a failure costs no more than speed."""
        if self.kafka is None:
            return
        try:
            await record_kafka_start(self._data, self._cache, *self._ports_to_record)
        except EngineError as failed:
            _log.warning("Kafka will go on starting slowly: %s", failed)

    def given(self) -> Iterator[RunningProcess]:
        """Those that run elsewhere, as `parley status` shows them."""
        if url := self._settings.postgres:
            yield RunningProcess("postgres", None, _address(url, 5432))
        if bootstrap := self._settings.kafka:
            yield RunningProcess("kafka", None, bootstrap)
        if url := self._settings.redis:
            yield RunningProcess("redis", None, _address(url, 6379))


async def _lets_in(url: str) -> bool:
    try:
        return await postgres_answers(url)
    except asyncpg.InvalidAuthorizationSpecificationError:
        raise EngineError("PostgreSQL refuses the user or password of PARLEY_POSTGRES.") from None


def _address(url: str, default_port: int) -> str:
    parts = urlsplit(url)
    return joined(parts.hostname or "localhost", parts.port or default_port)

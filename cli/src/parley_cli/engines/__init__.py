"""Embedded engines: PostgreSQL, Kafka and Redis as child processes on loopback.

Their binaries come from the packages of the extra `up`.
"""

from parley_cli.engines.engine_tls import EngineTls
from parley_cli.engines.errors import EngineError
from parley_cli.engines.kafka.aot_recording import record_kafka_aot_cache
from parley_cli.engines.kafka.kafka_access import KafkaAccess
from parley_cli.engines.kafka.kafka_server import KafkaServer
from parley_cli.engines.ports import free_port
from parley_cli.engines.postgres import PostgresServer
from parley_cli.engines.redis import RedisServer, redis_url

__all__ = [
    "EngineError",
    "EngineTls",
    "KafkaAccess",
    "KafkaServer",
    "PostgresServer",
    "RedisServer",
    "free_port",
    "record_kafka_aot_cache",
    "redis_url",
]

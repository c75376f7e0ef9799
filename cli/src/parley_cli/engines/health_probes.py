"""Health probes: an engine answers a request of its own protocol, not just a connection."""

import asyncio

import asyncpg
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from parley_core.log import Brokers

NOT_READY_ERRORS = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)


async def postgres_answers(dsn: str) -> bool:
    """Raises asyncpg.InvalidAuthorizationSpecificationError if the password is rejected."""
    try:
        connection = await asyncpg.connect(dsn, timeout=2)
    except asyncpg.InvalidAuthorizationSpecificationError:
        raise
    except NOT_READY_ERRORS:
        return False
    await connection.close()
    return True


async def kafka_answers(brokers: Brokers) -> bool:
    if not await accepts_connections(brokers.bootstrap.split(",")[0]):
        return False  # Checked first: the client logs each refused connection as an error.
    admin = AIOKafkaAdminClient(**brokers.client_settings(), request_timeout_ms=2000)
    try:
        await admin.start()
        return bool((await admin.describe_cluster())["brokers"])
    except (KafkaError, OSError, TimeoutError):
        return False
    finally:
        await admin.close()


async def redis_pid(url: str) -> int | None:
    """The process ID that Redis reports; None if it does not answer."""
    # Imported here: that is a fifth of the start of a command, and most need no Redis.
    from redis.asyncio import Redis
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
    from redis.exceptions import RedisError

    try:
        # The retries of the client would outlast a child that has died.
        no_retry = Retry(NoBackoff(), 0)
        async with Redis.from_url(url, socket_timeout=1, retry=no_retry) as client:
            return int((await client.info("server"))["process_id"])
    except (RedisError, OSError):
        return None


async def accepts_connections(address: str) -> bool:
    """Whether a server accepts connections at host:port, where an IPv6 host is in brackets."""
    host, _, port = address.rpartition(":")
    try:
        async with asyncio.timeout(2):
            _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
    except (OSError, TimeoutError, ValueError):
        return False
    writer.close()
    return True

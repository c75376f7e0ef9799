"""The file of Redis' URL changes while calls are made."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from core_fakes.mounted_secret import MountedSecret
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from parley_cli.engines import RedisServer, free_port, redis_url
from parley_core.process import settings_reloader
from parley_core.process.settings_reloader import SettingsReloader
from parley_core.runtime.background_tasks import background_tasks
from parley_core.runtime.settings import Settings, load
from parley_core.storage.redis_circuit_breaker import RedisWithCircuitBreaker
from parley_core.storage.redis_settings import RedisGroup, RedisSettings
from parley_testing.eventually import eventually

StartServer = Callable[[str], Awaitable[RedisServer]]


class ProcessSettings(Settings):
    redis: RedisGroup = RedisSettings()


@pytest.fixture
async def start_server(tmp_path: Path) -> AsyncIterator[StartServer]:
    """Starts a server with a password."""
    started = []

    async def start(password: str) -> RedisServer:
        server = RedisServer(tmp_path / password, free_port(), password=password)
        await server.start()
        started.append(server)
        return server

    yield start
    for each in started:
        await each.stop()


@pytest.fixture
async def server(start_server: StartServer) -> RedisServer:
    return await start_server("first")


@pytest.fixture
async def other(start_server: StartServer) -> RedisServer:
    """Recognized by its key `place`."""
    server = await start_server("other")
    async with Redis.from_url(server.url) as client:
        await client.set("place", "other")
    return server


@pytest.fixture
def secret(server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MountedSecret:
    monkeypatch.setattr(settings_reloader, "CHECK_INTERVAL_SECONDS", 0.01)
    mounted = MountedSecret(tmp_path / "mounted", server.url)
    monkeypatch.setenv("PARLEY_REDIS_URL_FILE", str(mounted.path))
    monkeypatch.delenv("PARLEY_REDIS_URL", raising=False)
    return mounted


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
async def redis(
    secret: MountedSecret, registry: CollectorRegistry
) -> AsyncIterator[RedisWithCircuitBreaker]:
    """As in a process that reloads its settings."""
    settings = load(ProcessSettings)

    def apply(fresh: ProcessSettings) -> None:
        settings.redis.replace(fresh.redis)

    redis = RedisWithCircuitBreaker(
        lambda: settings.redis.current_url,
        timeout_seconds=10,
        open_seconds=0.05,
        max_connections=4,
    )
    async with background_tasks(SettingsReloader(settings, apply, registry).run()):
        yield redis
    await redis.aclose()


async def test_a_changed_password_is_used_when_the_old_connections_are_closed(
    redis: RedisWithCircuitBreaker, secret: MountedSecret, server: RedisServer
) -> None:
    assert await redis.call(_ping)
    async with Redis.from_url(server.url) as operator:
        await operator.config_set("requirepass", "second")
        # The connection that has authenticated is kept.
        assert await redis.call(_ping)
        await operator.client_kill_filter(_type="normal", skipme=True)
    assert await redis.call(_ping) is None

    secret.replace(redis_url(server.address, "second"))

    await eventually(lambda: redis.call(_ping))


@pytest.mark.parametrize("parameters", ["?socket_timeout=soon", "?nonsense=1"])
async def test_a_url_with_which_no_connection_can_be_made_is_not_used(
    redis: RedisWithCircuitBreaker,
    registry: CollectorRegistry,
    secret: MountedSecret,
    server: RedisServer,
    parameters: str,
) -> None:
    secret.replace(server.url + parameters)
    await eventually(lambda: registry.get_sample_value("parley_config_reload_failed"))
    assert await redis.call(_ping)


async def test_calls_move_to_another_server_and_a_running_one_ends_at_the_previous(
    redis: RedisWithCircuitBreaker,
    secret: MountedSecret,
    server: RedisServer,
    other: RedisServer,
) -> None:
    async with Redis.from_url(server.url) as previous:
        running = asyncio.create_task(redis.call(lambda client: client.blpop(["queue"], 9)))
        await eventually(lambda: _clients_other_than(previous))

        secret.replace(other.url)

        await eventually(lambda: redis.call(lambda client: client.get("place")))
        assert not running.done()
        await previous.rpush("queue", "value")
        assert await running == (b"queue", b"value")
        await eventually(lambda: _has_one_client(previous))


async def test_idle_connections_to_the_previous_server_are_closed(
    redis: RedisWithCircuitBreaker,
    secret: MountedSecret,
    server: RedisServer,
    other: RedisServer,
) -> None:
    async with Redis.from_url(server.url) as previous:
        assert await redis.call(_ping)
        secret.replace(other.url)
        await eventually(lambda: redis.call(lambda client: client.get("place")))
        await eventually(lambda: _has_one_client(previous))


async def _ping(redis: Redis) -> bool:
    return bool(await redis.ping())


async def _clients_other_than(operator: Redis) -> int:
    return len(await operator.client_list()) - 1


async def _has_one_client(operator: Redis) -> bool:
    return await _clients_other_than(operator) == 0

"""PostgreSQL's protocol and Redis with TLS, by the URLs of the settings."""

import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncpg
import pytest
from core_fakes.certificates import CertificateFiles
from pgbouncer import pgbouncer
from redis.asyncio import Redis
from redis_with_tls import PASSWORD, redis_with_tls

from parley_core.runtime.database_url import check_database_url
from parley_core.storage.migrations import run_in_connection
from parley_core.storage.postgres_pool import open_pool
from parley_core.storage.redis_circuit_breaker import RedisWithCircuitBreaker
from parley_testing.eventually import eventually

ONE = "SELECT 1"


@pytest.fixture
def files(tmp_path: Path) -> CertificateFiles:
    return CertificateFiles(tmp_path / "own")


@pytest.fixture
def other(tmp_path: Path) -> CertificateFiles:
    """Another authority."""
    return CertificateFiles(tmp_path / "other")


async def through_a_pool(url: str) -> object:
    pool = open_pool(url, max_connections=1, timeout_seconds=30, application_name="test")
    async with pool:
        return await pool.fetchval(ONE)


async def through_a_connection_of_its_own(url: str) -> object:
    async def one(connection: "asyncpg.Connection[asyncpg.Record]") -> object:
        return await connection.fetchval(ONE)

    return await run_in_connection(url, one)


@pytest.mark.parametrize("connected", [through_a_pool, through_a_connection_of_its_own])
async def test_the_certificate_of_postgres_is_verified_in_every_kind_of_connection(
    postgres_server: str,
    files: CertificateFiles,
    other: CertificateFiles,
    connected: Callable[[str], Awaitable[object]],
) -> None:
    async with pgbouncer(postgres_server, files.authority.issue("postgres")) as url:

        def verified_with(authority_file: Path) -> str:
            return check_database_url(f"{url}?sslmode=verify-full&sslrootcert={authority_file}")

        assert await connected(verified_with(files.authority_file)) == 1
        with pytest.raises(ssl.SSLCertVerificationError):
            await connected(verified_with(other.authority_file))
        with pytest.raises(asyncpg.PostgresError):
            await connected(f"{url}?sslmode=disable")


async def test_a_replaced_authority_of_redis_is_used_without_a_restart(
    files: CertificateFiles, other: CertificateFiles, tmp_path: Path
) -> None:
    trusted = tmp_path / "trusted.pem"
    trusted.write_text(files.authority_file.read_text())
    issued = other.authority.issue("redis")
    (tmp_path / "certificate.pem").write_text(issued.certificate)
    (tmp_path / "key.pem").write_text(issued.key)
    async with redis_with_tls(files.authority.issue("redis")) as address:
        url = f"rediss://:{PASSWORD}@{address}/0?ssl_ca_certs={trusted}"
        redis = RedisWithCircuitBreaker(
            url, timeout_seconds=30, max_connections=2, open_seconds=0.05
        )

        async def is_reached() -> bool:
            return bool(await redis.call(lambda client: client.ping()))

        assert await is_reached()
        async with Redis.from_url(url) as operator:
            certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
            await operator.config_set("tls-cert-file", str(certificate), "tls-key-file", str(key))
            await operator.client_kill_filter(_type="normal", skipme=True)
        assert not await is_reached()
        trusted.write_text(other.authority_file.read_text())
        await eventually(is_reached)
        await redis.aclose()


async def test_the_certificate_of_redis_is_verified(
    files: CertificateFiles, other: CertificateFiles
) -> None:
    async with redis_with_tls(files.authority.issue("redis")) as address:

        async def answer_to(url: str) -> object:
            redis = RedisWithCircuitBreaker(
                url, timeout_seconds=30, max_connections=1, open_seconds=1
            )
            try:
                return await redis.call(lambda client: client.ping())
            finally:
                await redis.aclose()

        secured = f"rediss://:{PASSWORD}@{address}/0?ssl_ca_certs="
        assert await answer_to(f"{secured}{files.authority_file}") is True
        assert await answer_to(f"{secured}{other.authority_file}") is None
        assert await answer_to(f"redis://:{PASSWORD}@{address}/0") is None

"""Kafka and Redis with a password, and Kafka with TLS."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError

from parley_cli.engines import EngineTls, KafkaAccess, KafkaServer, RedisServer, free_port
from parley_cli.engines.health_probes import kafka_answers, redis_pid
from parley_cli.engines.kafka.kafka_server import JAVA_OPTIONS, SHORT_RUN_OPTIONS
from parley_cli.tls.local_authority import LocalAuthority
from parley_core.log.kafka_settings import KafkaSettings

pytestmark = pytest.mark.asyncio(loop_scope="module")

PASSWORD = "a-password_of-the-tests"


def certificates(folder: Path, name: str = "authority") -> EngineTls:
    authority = LocalAuthority.create(name)
    issued = authority.issue("engine")
    files = EngineTls(*(folder / f"{name}.{suffix}" for suffix in ("pem", "key", "ca.pem")))
    files.certificate_file.write_text(issued.certificate)
    files.key_file.write_text(issued.key + issued.certificate)
    files.authority_file.write_text(authority.certificate)
    return files


@pytest_asyncio.fixture(loop_scope="module")
async def redis(tmp_path: Path) -> AsyncIterator[RedisServer]:
    server = RedisServer(tmp_path, free_port(), password=PASSWORD)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture(scope="module")
def brokers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of their data folders."""
    return tmp_path_factory.mktemp("brokers")


@pytest_asyncio.fixture(params=["plain", "tls"], scope="module", loop_scope="module")
async def secured_kafka(
    request: pytest.FixtureRequest, brokers: Path, engine_cache: Path
) -> AsyncIterator[KafkaServer]:
    ports = free_port(), free_port()
    data = brokers / request.param
    data.mkdir()
    tls = certificates(data) if request.param == "tls" else None
    server = KafkaServer(data, engine_cache, *ports, password=PASSWORD, tls=tls)
    server.java_options = [*SHORT_RUN_OPTIONS, *JAVA_OPTIONS]
    await server.start()
    yield server
    await server.stop()


async def test_redis_answers_only_those_who_know_its_password(redis: RedisServer) -> None:
    async with Redis.from_url(redis.url) as client:
        assert await client.set("key", "value")
    async with Redis.from_url(redis.url.replace(f":{PASSWORD}@", "")) as client:
        with pytest.raises(AuthenticationError):
            await client.get("key")
    wrong = redis.url.replace(PASSWORD, "wrong")
    assert await redis_pid(wrong) is None


async def test_kafka_answers_only_those_who_know_its_password(
    secured_kafka: KafkaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    access = secured_kafka.access
    assert await kafka_answers(access.brokers)
    assert not await kafka_answers(
        KafkaAccess(access.bootstrap, "wrong", access.authority_file).brokers
    )
    assert not await kafka_answers(
        KafkaAccess(access.bootstrap, None, access.authority_file).brokers
    )
    # The settings that a service gets.
    prefix = "PARLEY_KAFKA_"
    fields = {name.removeprefix(prefix).lower(): v for name, v in access.variables.items()}
    assert await kafka_answers(KafkaSettings.model_validate(fields).brokers)


@pytest.mark.parametrize("secured_kafka", ["tls"], indirect=True, scope="module")
async def test_kafka_with_tls_is_verified(secured_kafka: KafkaServer, tmp_path: Path) -> None:
    other = certificates(tmp_path, "other").authority_file
    of_other_authority = KafkaAccess(secured_kafka.address, PASSWORD, other)
    assert not await kafka_answers(of_other_authority.brokers)


@pytest.mark.usefixtures("redis", "secured_kafka")
async def test_only_the_owner_can_read_the_files_with_passwords(
    tmp_path: Path, brokers: Path
) -> None:
    files = files_with_password(tmp_path, "redis/*") + files_with_password(brokers, "*/kafka/*")
    assert {file.name for file in files} == {"redis.conf", "server.properties"}
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}


def files_with_password(folder: Path, pattern: str) -> list[Path]:
    files = [file for file in folder.glob(pattern) if file.is_file()]
    return [file for file in files if PASSWORD in file.read_text(errors="ignore")]

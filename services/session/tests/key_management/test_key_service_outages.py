"""A key service that fails: bounded waits, a circuit breaker, cached keys, and metrics."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from session_support.key_services import FakeAwsKms, FakeVault, KeyService
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from parley_core.crypto.master_keys import MasterKeys, VaultKey, WrongMasterKey, wrapped_prefix
from parley_core.crypto.sealing import DataKey
from parley_core.process.process_monitor import ProcessMonitor
from parley_core.runtime.settings import InvalidSettings
from parley_session.key_management import key_service_client
from parley_session.key_management.cached_key_wrapper import (
    FRESH_SECONDS,
    STALE_SECONDS,
    CachedKeyWrapper,
)
from parley_session.key_management.key_service_monitor import KeyServiceMonitor
from parley_session.key_management.key_wrapper import KeyItem, KeyServiceUnavailable
from parley_session.key_management.keyring import Keyring, opened_keyring
from parley_testing.serving import serving

SESSION = UUID(int=1)


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Service:
    """Wraps nothing; counts the calls."""

    def __init__(self) -> None:
        self.down, self.calls = False, list[int]()

    async def wrap(self, items: Sequence[KeyItem]) -> Sequence[bytes]:
        return await self.unwrap(items)

    async def unwrap(self, items: Sequence[KeyItem]) -> Sequence[bytes]:
        self.calls.append(len(items))
        await asyncio.sleep(0)
        if self.down:
            raise KeyServiceUnavailable("m1", 1)
        return [item.value for item in items]

    async def aclose(self) -> None:
        pass


async def test_a_service_that_fails_is_not_asked_again_until_the_circuit_closes(
    remote: KeyService, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fake, monitor = remote.fake, ProcessMonitor("session")
    assert fake is not None
    async with opened_keyring(remote.master_keys()) as earlier:
        wrapped = await earlier.wrap(DataKey.generate(), SESSION)
    keyring = Keyring(remote.master_keys(), KeyServiceMonitor(monitor))
    fake.down = True
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            with pytest.raises(KeyServiceUnavailable) as error:
                await keyring.unwrap(wrapped, SESSION)
    assert len(fake.calls) == 1 + key_service_client.CIRCUIT_FAILURES
    assert 1 <= error.value.retry_after_seconds <= key_service_client.CIRCUIT_OPEN_SECONDS
    assert [record.name for record in caplog.records] == [key_service_client.__name__]
    assert monitor.dependencies[remote.kind].up is False
    fake.down = False
    monkeypatch.setattr(
        keyring._wrappers["m1"]._service._client._circuit,  # type: ignore[attr-defined]
        "open_seconds",
        0,
    )
    assert await keyring.unwrap(wrapped, SESSION)
    assert monitor.dependencies[remote.kind].up is True
    counted = monitor.metrics().decode()
    name = "parley_session_key_service_call_duration_seconds_count"
    labels = f'adapter="{remote.kind}",operation="unwrap"'
    assert f'{name}{{{labels},outcome="ok"}} 1.0' in counted
    assert f'{name}{{{labels},outcome="unavailable"}} 2.0' in counted
    await keyring.aclose()


async def test_a_service_that_does_not_answer_is_waited_for_briefly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, tested = asyncio.Event(), asyncio.Event()

    async def after_the_test(_: Request) -> Response:
        asked.set()
        await tested.wait()
        return Response()

    monkeypatch.setattr(key_service_client, "TIMEOUT_SECONDS", 0.1)
    (tmp_path / "token").write_text("token")
    app = Starlette(routes=[Route("/{path:path}", after_the_test, methods=["POST"])])
    async with serving(app) as served:
        key = VaultKey(served.url, "parley", str(tmp_path / "token"))
        async with opened_keyring(MasterKeys({"v1": key})) as keyring:
            with pytest.raises(KeyServiceUnavailable):
                await keyring.wrap(DataKey.generate(), SESSION)
        tested.set()
    assert asked.is_set()


async def test_a_service_that_nobody_runs_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("token")
    key = VaultKey("http://127.0.0.1:1", "parley", str(tmp_path / "token"))
    async with opened_keyring(MasterKeys({"v1": key})) as keyring:
        with pytest.raises(KeyServiceUnavailable):
            await keyring.wrap(DataKey.generate(), SESSION)


@asynccontextmanager
async def answering(status: int, body: bytes) -> AsyncIterator[str]:
    """The address of a service that always answers so."""

    async def answer(_: Request) -> Response:
        return Response(body, status, {"location": "/elsewhere"})

    app = Starlette(routes=[Route("/{path:path}", answer, methods=["POST"])])
    async with serving(app) as served:
        yield served.url


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b"{}"),
        (200, b"<html>"),
        (200, b'{"data":{"batch_results":[]}}'),
        (200, b" " * 1_000_000),
        (400, b'{"errors":["encryption key not found"]}'),
        (400, b'{"data":{"batch_results":[{"error":"no AEAD cipher"}]}}'),
        (302, b""),
        (502, b""),
    ],
)
async def test_any_other_answer_of_vault_is_no_answer(
    tmp_path: Path, status: int, body: bytes
) -> None:
    (tmp_path / "token").write_text("token")
    async with answering(status, body) as url:
        key = VaultKey(url, "parley", str(tmp_path / "token"))
        async with opened_keyring(MasterKeys({"v1": key})) as keyring:
            with pytest.raises(KeyServiceUnavailable):
                await keyring.wrap(DataKey.generate(), SESSION)


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (400, b'{"__type":"InvalidCiphertextException"}', WrongMasterKey),
        (400, b'{"__type":"com.amazonaws.kms#IncorrectKeyException"}', WrongMasterKey),
        (200, b'{"Plaintext":"c2hvcnQ="}', WrongMasterKey),
        (400, b'{"__type":"AccessDeniedException"}', KeyServiceUnavailable),
        (400, b'{"__type":"ThrottlingException"}', KeyServiceUnavailable),
        (400, b"[]", KeyServiceUnavailable),
        (200, b'{"CiphertextBlob":"AAAA"}', KeyServiceUnavailable),
        (500, b"", KeyServiceUnavailable),
    ],
)
async def test_an_error_of_aws_kms_means_a_wrong_key_or_an_unavailable_one(
    aws_kms: KeyService, status: int, body: bytes, error: type[Exception]
) -> None:
    async with answering(status, body) as url:
        aws_kms.fields["endpoint"] = url
        async with opened_keyring(aws_kms.master_keys()) as keyring:
            with pytest.raises(error):
                await keyring.unwrap(wrapped_prefix("m1") + b"blob", SESSION)


async def test_throttled_keys_of_a_batch_are_asked_for_again(
    aws_kms: KeyService, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not isinstance(aws_kms.fake, FakeAwsKms):
        pytest.skip("throttles the fake")
    monkeypatch.setattr("parley_session.key_management.aws_kms._RETRY_SECONDS", (0.001, 0.001))
    keys = [(DataKey.generate(), uuid4()) for _ in range(20)]
    aws_kms.fake.throttled = 5
    async with opened_keyring(aws_kms.master_keys()) as keyring:
        await keyring.wrap_all(keys)
        assert len(aws_kms.fake.calls) == 25
        aws_kms.fake.throttled = 1_000
        with pytest.raises(KeyServiceUnavailable):
            await keyring.wrap(DataKey.generate(), SESSION)
        assert len(aws_kms.fake.calls) == 25 + 3


async def test_the_token_is_read_again_for_every_call(vault: KeyService) -> None:
    if not isinstance(vault.fake, FakeVault):
        pytest.skip("changes the token of the fake")
    async with opened_keyring(vault.master_keys()) as keyring:
        await keyring.wrap(DataKey.generate(), SESSION)
        vault.fake.token = "renewed"
        with pytest.raises(KeyServiceUnavailable):
            await keyring.wrap(DataKey.generate(), SESSION)
        _write(vault.fields["token_file"], "renewed")
        assert await keyring.wrap(DataKey.generate(), SESSION)


async def test_without_its_token_file_vault_is_unavailable(vault: KeyService) -> None:
    vault.fields["token_file"] += ".missing"
    async with opened_keyring(vault.master_keys()) as keyring:
        with pytest.raises(KeyServiceUnavailable):
            await keyring.wrap(DataKey.generate(), SESSION)


async def test_a_hundred_keys_share_a_call_to_vault(vault: KeyService) -> None:
    if vault.fake is None:
        pytest.skip("counts the calls to the fake")
    keys = [(DataKey.generate(), uuid4()) for _ in range(250)]
    async with opened_keyring(vault.master_keys()) as keyring:
        await keyring.wrap_all(keys)
    assert vault.fake.calls == [100, 100, 50]


async def test_an_unwrapped_key_is_used_for_a_minute_without_asking() -> None:
    service, clock = Service(), Clock()
    cached, item = CachedKeyWrapper(service, clock), KeyItem(b"key", SESSION)
    for _ in range(3):
        assert await cached.unwrap([item]) == [b"key"]
    assert service.calls == [1]
    clock.now += FRESH_SECONDS + 1
    await cached.unwrap([item])
    assert service.calls == [1, 1]


async def test_a_key_that_was_just_wrapped_is_not_unwrapped_by_the_service() -> None:
    service = Service()
    cached = CachedKeyWrapper(service)
    [wrapped] = await cached.wrap([KeyItem(b"key", SESSION)])
    assert await cached.unwrap([KeyItem(wrapped, SESSION)]) == [b"key"]
    assert service.calls == [1]


async def test_a_key_in_use_outlasts_an_outage_of_a_minute_and_others_do_not() -> None:
    service, clock = Service(), Clock()
    cached, item = CachedKeyWrapper(service, clock), KeyItem(b"key", SESSION)
    await cached.unwrap([item])
    service.down = True
    clock.now += STALE_SECONDS - 1
    assert await cached.unwrap([item]) == [b"key"]
    with pytest.raises(KeyServiceUnavailable):
        await cached.unwrap([KeyItem(b"other", SESSION)])
    clock.now += 2
    with pytest.raises(KeyServiceUnavailable):
        await cached.unwrap([item])


async def test_concurrent_requests_share_calls() -> None:
    service = Service()
    cached = CachedKeyWrapper(service)
    items = [KeyItem(bytes([number]), SESSION) for number in range(20)]
    await asyncio.gather(*(cached.unwrap([item]) for item in items * 3))
    assert sum(service.calls) == 20
    assert len(service.calls) <= 2


async def test_the_number_of_cached_keys_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parley_session.key_management.cached_key_wrapper.MAX_CACHED_KEYS", 3)
    service = Service()
    cached = CachedKeyWrapper(service)
    items = [KeyItem(bytes([number]), SESSION) for number in range(4)]
    for item in [*items, items[0]]:
        await cached.unwrap([item])
    assert len(service.calls) == 5


def test_a_ca_file_that_cannot_be_read_is_refused_at_the_start(tmp_path: Path) -> None:
    missing: dict[str, Any] = {"ca_file": str(tmp_path / "ca.pem")}
    key = VaultKey("https://vault", "parley", "/token", **missing)
    with pytest.raises(InvalidSettings, match="ca_file of master key v1"):
        Keyring(MasterKeys({"v1": key}))


def _write(path: str, text: str) -> None:
    Path(path).write_text(text)

"""Master keys of each kind: local, in Vault, in AWS KMS."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from session_support.key_services import ACCESS_KEY, SECRET_KEY, FakeAwsKms, FakeVault, KeyService

from parley_testing.serving import serving


@pytest.fixture
async def local() -> KeyService:
    return KeyService("local", {})


@pytest.fixture
async def vault(tmp_path: Path) -> AsyncIterator[KeyService]:
    """PARLEY_TEST_VAULT is `<token>@<address>` of a server with the keys parley-1 and parley-2."""
    fake, token_file = FakeVault(), tmp_path / "token"
    fields = {"key": "parley-1", "other_key": "parley-2", "token_file": str(token_file)}
    token, _, address = os.environ.get("PARLEY_TEST_VAULT", "").partition("@")
    token_file.write_text(f"{token or fake.token}\n")
    if address:
        yield KeyService("vault", fields | {"address": address})
        return
    async with serving(fake.app) as served:
        yield KeyService("vault", fields | {"address": served.url}, fake)


@pytest.fixture
async def aws_kms(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[KeyService]:
    """PARLEY_TEST_AWS_KMS is `<key>,<other key>@<endpoint>`."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    fake, region = FakeAwsKms(), "eu-central-1"
    keys, _, endpoint = os.environ.get("PARLEY_TEST_AWS_KMS", "").partition("@")
    key, other_key = keys.split(",") if keys else ("alias/one", "alias/two")
    fields = {"key": key, "other_key": other_key, "region": region}
    if endpoint:
        yield KeyService("aws_kms", fields | {"endpoint": endpoint})
        return
    async with serving(fake.app) as served:
        yield KeyService("aws_kms", fields | {"endpoint": served.url}, fake)


@pytest.fixture(params=["local", "vault", "aws_kms"])
def any_kind(request: pytest.FixtureRequest) -> KeyService:
    return request.getfixturevalue(request.param)  # type: ignore[no-any-return]


@pytest.fixture(params=["vault", "aws_kms"])
def remote(request: pytest.FixtureRequest) -> KeyService:
    service: KeyService = request.getfixturevalue(request.param)
    if service.fake is None:
        pytest.skip("a real service is not stopped by a test")
    return service

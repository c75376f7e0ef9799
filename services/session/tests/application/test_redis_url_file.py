"""The session service uses the Redis of a changed file without a restart."""

from pathlib import Path
from typing import Any

import pytest
from core_fakes.mounted_secret import MountedSecret
from session_support.process import variables

from parley_core.process import settings_reloader
from parley_testing.eventually import eventually

UNREACHABLE = "redis://127.0.0.1:1/0"


async def test_versions_are_published_to_the_redis_that_a_changed_file_names(
    serve: Any,
    runtime_database: str,
    redis_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(settings_reloader, "CHECK_INTERVAL_SECONDS", 0.01)
    secret = MountedSecret(tmp_path / "mounted", UNREACHABLE)
    for name, value in variables(runtime_database, redis_url_file=secret.path).items():
        monkeypatch.setenv(name, value)
    session = await serve(redis_url=UNREACHABLE)

    async def redis_up() -> Any:
        return (await session.metrics("redis")).get("parley_dependency_up")

    async def is_refused() -> Any:
        return await redis_up() == 0

    await eventually(is_refused)
    secret.replace(redis_url)
    await eventually(redis_up)

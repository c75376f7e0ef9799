"""The gateway uses the Redis of a changed file without a restart."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from core_fakes.mounted_secret import MountedSecret
from gateway_fakes.gateway import SESSION_ID, Gateway
from gateway_fakes.history import History
from gateway_fakes.issuer import JWT_SECRET

from parley_core.process import settings_reloader
from parley_testing.eventually import eventually
from parley_testing.peers import key_variables
from parley_testing.session_service import FakeSessionService

UNREACHABLE = "redis://127.0.0.1:1/0"


@pytest.mark.parametrize("limits", [False, True])
async def test_a_read_and_a_limit_use_the_redis_that_a_changed_file_names(
    start: Callable[..., Awaitable[Gateway]],
    session: FakeSessionService,
    history: History,
    redis_url: str,
    limits: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(settings_reloader, "CHECK_INTERVAL_SECONDS", 0.01)
    secret, rules = MountedSecret(tmp_path / "mounted", UNREACHABLE), tmp_path / "limits.yaml"
    rules.write_text("limits: [{requests_per_minute: 100000}]")
    variables = {
        **key_variables("gateway"),
        "PARLEY_JWT_SECRET": JWT_SECRET,
        "PARLEY_REDIS_URL_FILE": str(secret.path),
        **{
            f"PARLEY_{name}_URL": "http://127.0.0.1:9"
            for name in ("SESSION", "INFERENCE", "HISTORY")
        },
    }
    if limits:
        variables["PARLEY_LIMITS_FILE"] = str(rules)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    gateway = await start(redis={"url": UNREACHABLE}, limits_file=rules if limits else None)
    registry = gateway.app.monitor.registry
    # A page is read with its version; another request is only counted.
    path = "/v1/models" if limits else f"/v1/history/{SESSION_ID}"
    history.project(SESSION_ID, 1, "Hello")
    session.versions[SESSION_ID] = 1

    async def redis_up_after_request() -> float | None:
        await gateway.get(path)
        return registry.get_sample_value("parley_dependency_up", {"dependency": "redis"})

    assert await redis_up_after_request() == 0
    secret.replace(redis_url)
    await eventually(redis_up_after_request)

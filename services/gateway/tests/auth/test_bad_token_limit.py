"""Bad tokens of one address: beyond a limit, they are refused before they are verified."""

import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from gateway_fakes.gateway import Gateway
from gateway_fakes.issuer import token
from prometheus_client import CollectorRegistry

from parley_gateway.auth.bad_token_limit import (
    BAD_TOKENS_PER_SECOND,
    MAX_BAD_TOKENS_AT_ONCE,
    BadTokenLimit,
    TooManyBadTokens,
)
from parley_testing.eventually import eventually
from parley_testing.fake_service import raw
from parley_testing.session_service import FakeSessionService


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def limit_at(clock: Clock) -> BadTokenLimit:
    return BadTokenLimit(lambda scope: scope["address"], CollectorRegistry(), clock)


def admits(limit: BadTokenLimit, address: str | None) -> bool:
    try:
        limit.check({"address": address})
    except TooManyBadTokens:
        return False
    return True


def send_bad(limit: BadTokenLimit, address: str | None, times: int) -> int:
    """How many of the bad tokens were verified."""
    verified = 0
    for _ in range(times):
        if admits(limit, address):
            limit.count({"address": address}, "malformed")
            verified += 1
    return verified


def test_an_address_may_send_so_many_bad_tokens_and_then_so_many_a_second() -> None:
    limit = limit_at(clock := Clock())
    assert send_bad(limit, "192.0.2.1", 5_000) == MAX_BAD_TOKENS_AT_ONCE
    assert not admits(limit, "192.0.2.1")
    assert admits(limit, "192.0.2.2")
    clock.now += 1
    assert send_bad(limit, "192.0.2.1", 5_000) == BAD_TOKENS_PER_SECOND
    clock.now += 3_600
    assert send_bad(limit, "192.0.2.1", 5_000) == MAX_BAD_TOKENS_AT_ONCE


@pytest.mark.parametrize(
    ("other", "is_same"), [("2001:db8::ffff", True), ("2001:db8:0:1::1", False)]
)
def test_an_address_of_version_6_is_a_network(other: str, is_same: bool) -> None:
    limit = limit_at(Clock())
    send_bad(limit, "2001:db8::1%eth0", MAX_BAD_TOKENS_AT_ONCE)
    assert admits(limit, other) is not is_same


def test_addresses_of_version_4_that_are_written_as_version_6_are_different_clients() -> None:
    limit = limit_at(Clock())
    send_bad(limit, "::ffff:192.0.2.1", MAX_BAD_TOKENS_AT_ONCE)
    assert not admits(limit, "192.0.2.1")
    assert admits(limit, "::ffff:198.51.100.9")


def test_proxies_are_not_limited() -> None:
    assert send_bad(limit_at(Clock()), None, 5_000) == 5_000


async def test_only_tokens_that_are_not_cached_are_refused(
    start: Callable[..., Awaitable[Gateway]], session: FakeSessionService
) -> None:
    constants: dict[str, Any] = {
        "auth.bad_token_limit.MAX_BAD_TOKENS_AT_ONCE": 3,
        "auth.bad_token_limit.BAD_TOKENS_PER_SECOND": 0.0,
        "auth.bad_token_refusals.DELAY_SECONDS": 0.0,
    }
    gateway = await start(constants, trusted_proxies="127.0.0.0/8")

    async def status(bearer: str, address: str = "192.0.2.1") -> int:
        session.answers.append(raw(b"{}"))
        found, _ = await gateway.get("/v1/assistants", bearer=bearer, x_forwarded_for=address)
        session.answers.clear()
        return found

    cached = token(sub="ada")
    assert await status(cached) == 200
    assert [await status(f"bad.{number}.token") for number in range(5)] == [401] * 3 + [429] * 2
    assert [await status(cached), await status(token(sub="eve"))] == [200, 429]
    assert await status(token(sub="bob"), "192.0.2.2") == 200


async def test_refused_tokens_have_an_answer_like_others_and_are_recorded(
    start: Callable[..., Awaitable[Gateway]], session: FakeSessionService
) -> None:
    constants: dict[str, Any] = {
        "auth.bad_token_limit.MAX_BAD_TOKENS_AT_ONCE": 1,
        "auth.bad_token_limit.BAD_TOKENS_PER_SECOND": 0.0,
        "auth.bad_token_refusals.DELAY_SECONDS": 0.0,
        "audit.refused_access.INTERVAL_SECONDS": 0.01,
    }
    gateway = await start(constants)
    for status in (401, 429, 429):
        async with gateway.request("GET", "/v1/assistants", bearer="bad") as response:
            assert response.status == status
            error = (await response.json())["error"]
            assert "x-request-id" in response.headers
            assert response.headers["x-content-type-options"] == "nosniff"
    assert (error["code"], error["type"]) == ("too_many_bad_tokens", "rate_limit_error")
    assert response.headers["retry-after"] == "1"
    # What has no token is not refused for those of others.
    without = await gateway.expect_error("GET", "/v1/assistants", authorization="None")
    assert without[:2] == (401, "unauthenticated")
    labels = {"code": "too_many_bad_tokens", "route": "unmatched"}
    assert gateway.app.monitor.registry.get_sample_value("parley_http_errors_total", labels) == 1

    def recorded() -> set[str]:
        # A report whose answer is late is sent again.
        code = "too_many_bad_tokens"
        return {each["request_id"] for each in session.refused if each.get("code") == code}

    await eventually(lambda: len(recorded()) == 2, within=30)


@pytest.mark.parametrize(("proxies", "delay"), [("10.0.0.0/8", 0.2), ("127.0.0.0/8", 3_600.0)])
async def test_a_client_waits_for_its_refusal_unless_a_proxy_is_trusted(
    start: Callable[..., Awaitable[Gateway]], proxies: str, delay: float
) -> None:
    constants: dict[str, Any] = {
        "auth.bad_token_limit.MAX_BAD_TOKENS_AT_ONCE": 1,
        "auth.bad_token_limit.BAD_TOKENS_PER_SECOND": 0.0,
        "auth.bad_token_refusals.DELAY_SECONDS": delay,
    }
    gateway = await start(constants, trusted_proxies=proxies)

    async def status() -> int:
        return (await gateway.get("/v1/models", bearer="bad", x_forwarded_for="192.0.2.1"))[0]

    assert [await status(), await status()] == [401, 429]
    started_at = time.monotonic()
    assert await status() == 429
    is_trusted = proxies == "127.0.0.0/8"
    assert is_trusted or time.monotonic() - started_at >= delay

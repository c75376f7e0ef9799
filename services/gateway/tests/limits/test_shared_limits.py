"""Request limits that several gateways count together in Redis, and each by itself without it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from uuid import uuid4

import pytest
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from parley_core.auth.principal import Principal
from parley_core.limits.refusals import LimitExceeded
from parley_core.limits.rules import LimitName, LimitRule, LimitRules
from parley_core.runtime.background_tasks import background_tasks
from parley_core.storage import shared_counts
from parley_core.storage.redis_circuit_breaker import RedisWithCircuitBreaker
from parley_core.storage.shared_counts import SharedCounts
from parley_gateway.limits import counted_requests, request_limits
from parley_gateway.limits.limit_metrics import LimitMetrics
from parley_gateway.limits.request_limits import RequestLimits
from parley_testing.eventually import eventually
from parley_testing.faulty_proxy import FaultyProxy

LIMIT = 30
ADA, EVE = Principal("default", "ada"), Principal("default", "eve")
# In the middle of a minute, which does not end during a test.
NOW = 1_800_000_030.0

Gateways = Callable[..., Awaitable[Sequence[RequestLimits]]]


@pytest.fixture
async def redis_proxy(redis_url: str) -> AsyncIterator[FaultyProxy]:
    async with FaultyProxy.to(redis_url) as proxy:
        yield proxy


@pytest.fixture
async def gateways(
    redis_proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Gateways]:
    """Starts three gateways that know of each other, with a limit per person."""
    monkeypatch.setattr(request_limits, "RENEW_SECONDS", 0.02)
    monkeypatch.setattr(counted_requests, "_now", lambda: NOW)
    name = f"test-{uuid4().hex}"
    async with AsyncExitStack() as stack:

        async def start(limit: LimitName, value: int = LIMIT) -> Sequence[RequestLimits]:
            started = []
            for _ in range(3):
                redis = RedisWithCircuitBreaker(
                    redis_proxy.database, timeout_seconds=10, open_seconds=0.02, max_connections=4
                )
                limits = RequestLimits(
                    LimitRules([LimitRule({limit: value})]),
                    LimitMetrics(CollectorRegistry()),
                    SharedCounts(redis, name, uuid4().hex),
                )
                await stack.enter_async_context(background_tasks(limits.run()))
                started.append(limits)
            await eventually(lambda: all(each.requests.gateways == 3 for each in started))
            return started

        yield start


async def admitted(gateways: Sequence[RequestLimits], requests: int, who: Principal = ADA) -> int:
    """How many of the concurrent requests at each gateway are admitted."""

    async def request(gateway: RequestLimits) -> bool:
        try:
            await gateway.count_request(who)
        except LimitExceeded:
            return False
        return True

    responses = await asyncio.gather(
        *(request(gateway) for gateway in gateways for _ in range(requests))
    )
    return sum(responses)


async def test_gateways_admit_exactly_the_limit_together(gateways: Gateways) -> None:
    started = await gateways("requests_per_minute")
    assert await admitted(started, 3) == 9
    assert await admitted(started, 100) == LIMIT - 9
    assert await admitted(started[:1], 1, EVE) == 1


@pytest.mark.parametrize("before", [0, 4])
async def test_without_redis_each_gateway_admits_its_share(
    gateways: Gateways, redis_proxy: FaultyProxy, before: int
) -> None:
    started = await gateways("requests_per_minute")
    assert await admitted(started, before) == 3 * before
    redis_proxy.close()
    assert await admitted(started, 100) == LIMIT - 3 * before
    assert await admitted(started[:1], 100, EVE) == LIMIT // 3
    assert started[0]._metrics.degraded._value.get() > 0


async def test_what_was_taken_ahead_is_part_of_the_share_without_redis(
    gateways: Gateways, redis_proxy: FaultyProxy
) -> None:
    started = await gateways("requests_per_minute", 900)
    assert await admitted(started, 50) == 150
    redis_proxy.close()
    assert await admitted(started, 500) == 900 - 150


async def test_what_was_admitted_without_redis_is_counted_once_it_replies(
    gateways: Gateways, redis_proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy, *others = await gateways("requests_per_minute")
    assert await admitted([busy], 2) == 2
    redis_proxy.close()
    assert await admitted([busy], 4) == 4
    redis_proxy.open()
    monkeypatch.setattr(counted_requests, "_now", lambda: NOW + 2)
    circuits = [gateway._shared._redis for gateway in (busy, *others) if gateway._shared]
    await eventually(lambda: not any(each.is_open for each in circuits))
    assert await admitted([busy], 1) == 1
    assert await admitted(others, 100) == LIMIT - 7


async def test_a_flush_of_redis_admits_no_more_than_the_limit(
    gateways: Gateways, redis_url: str, redis_proxy: FaultyProxy
) -> None:
    started = await gateways("requests_per_minute")
    assert await admitted(started, 5) == 15
    async with Redis.from_url(redis_url) as redis:
        prefix = started[0]._shared._prefix  # type: ignore[union-attr]
        keys = [key async for key in redis.scan_iter(f"{prefix}*:*")]
        await redis.delete(*keys)
    # The first gateway finds it out. The others find what that one asked for.
    assert 5 <= await admitted(started, 100) <= LIMIT - 15


async def test_a_gateway_that_takes_ahead_leaves_little_unused(gateways: Gateways) -> None:
    busy, other, _ = await gateways("requests_per_minute", 1_000)
    for _ in range(100):
        assert await admitted([other], 1) == 1
    admitted_before = 100
    while await admitted([busy], 1):
        admitted_before += 1
    assert 980 <= admitted_before <= 1_000


async def test_requests_far_below_a_limit_do_not_wait_for_redis(gateways: Gateways) -> None:
    gateway, *_ = await gateways("requests_per_minute", 1_000)
    for number in range(1, 501):
        headers = gateway.count_request_now(ADA)
        assert headers is not None
        assert headers["x-ratelimit-remaining-requests"] == str(1_000 - number)
        await gateway.requests.finish()
    [(_, used, _)] = await gateway.standing(ADA)
    assert used == 500


async def test_a_gateway_that_learns_late_of_a_used_up_limit_admits_few_requests(
    gateways: Gateways,
) -> None:
    first, second, third = await gateways("requests_per_minute", 1_000)
    assert await admitted([first], 1_000) == 1_000
    for late in (second, third):
        assert await admitted([late], 1_000) <= 20
        assert await admitted([late], 10) == 0


async def test_few_requests_of_a_low_limit_are_taken_ahead_of_need(gateways: Gateways) -> None:
    one, other, _ = await gateways("requests_per_minute")
    assert await admitted([one, other], 1) == 2
    assert await admitted([one], LIMIT) == LIMIT - 2


async def test_the_lower_of_two_limits_of_a_person_refuses_what_was_taken_for_the_higher(
    gateways: Gateways,
) -> None:
    gateway, *_ = await gateways("requests_per_minute", 1_000)
    trial = LimitRule({"requests_per_minute": 5}, scope="trial")
    regular = LimitRule({"requests_per_minute": 1_000}, scope="regular")
    gateway._rules.replace(LimitRules([trial, regular]))
    assert await admitted([gateway], 5, replace(ADA, scopes=frozenset({"regular"}))) == 5
    await gateway.requests.finish()
    assert await admitted([gateway], 1, replace(ADA, scopes=frozenset({"trial"}))) == 0
    assert await admitted([gateway], 1, replace(ADA, scopes=frozenset({"regular"}))) == 1


async def test_open_streams_are_counted_over_all_gateways(gateways: Gateways) -> None:
    one, other, _ = await gateways("open_streams", 2)
    async with one.stream(ADA), other.stream(EVE):
        async with other.stream(ADA):
            with pytest.raises(LimitExceeded) as refused:
                async with one.stream(ADA):
                    pass
            assert refused.value.param == "open_streams"

        async def opens() -> bool:
            try:
                async with one.stream(ADA):
                    return True
            except LimitExceeded:
                return False

        await eventually(opens)


async def test_streams_of_a_gateway_that_was_killed_count_until_they_expire(
    gateways: Gateways, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_counts, "EXPIRY_SECONDS", 1)
    gateway, *_ = await gateways("open_streams", 1)
    shared = gateway._shared
    assert shared is not None
    [(_, subject)] = gateway._limits("open_streams", ADA)
    assert await shared.open(subject, "nobody renews it", 1)

    async def opens() -> bool:
        try:
            async with gateway.stream(ADA):
                return True
        except LimitExceeded:
            return False

    assert not await opens()
    await eventually(opens)


async def test_the_requests_of_a_tenant_are_limited_in_addition_to_those_of_a_person(
    gateways: Gateways,
) -> None:
    started = await gateways("requests_per_minute")
    for gateway in started:
        tenant = LimitRule({"requests_per_minute": LIMIT + 5}, per="tenant")
        gateway._rules.replace(LimitRules([*gateway._rules._rules, tenant]))
    assert await admitted(started, 100) == LIMIT
    # What was refused at the limit of Ada leaves some of the tenant's to others.
    assert 0 <= await admitted(started, 100, EVE) <= 5
    assert await admitted(started, 2, Principal("elsewhere", "eve")) == 6

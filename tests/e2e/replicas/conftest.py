"""The stack of these tests: two of every process of Parley, which drain as in a cluster and trace
what a client asks for.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio
from e2e_support.model_server import ModelServer
from e2e_support.stack import Stack, new_stack
from e2e_support.user import User

from parley_testing.otlp_receiver import OTLPReceiver

REPLICAS = "gateway=2,session=2,inference=2,history-project=2,history-serve=2"
DRAINING = {
    "PARLEY_INFERENCE_DRAIN_SECONDS": "60",
    "PARLEY_GATEWAY_DRAIN_SECONDS": "60",
    "PARLEY_GATEWAY_HANDOVER_SECONDS": "0.5",
}

# Only requests with a sampled traceparent, such as those of a proxy, are traced.
TRACING = {
    "OTEL_TRACES_SAMPLER": "parentbased_always_off",
    "OTEL_BSP_SCHEDULE_DELAY": "200",
    "PARLEY_GATEWAY_TRUSTED_PROXIES": "127.0.0.1",
}


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def traces() -> AsyncIterator[OTLPReceiver]:
    async with OTLPReceiver.running() as receiver:
        yield receiver


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def stack(
    model_server: ModelServer, engine_cache: Path, traces: OTLPReceiver
) -> AsyncIterator[Stack]:
    settings = {
        **DRAINING,
        **TRACING,
        "OTEL_EXPORTER_OTLP_ENDPOINT": traces.url,
        "PARLEY_LOG_FORMAT": "json",
    }
    async with (
        new_stack(engine_cache) as stack,
        stack.running("--replicas", REPLICAS, **model_server.settings, **settings),
    ):
        yield stack


@pytest.fixture
def clients(stack: Stack) -> list[User]:
    """One user as a client of each gateway."""
    name = f"ada-{uuid4()}"
    return [stack.user(name, gateway=stack.address(each)) for each in ("gateway", "gateway-2")]

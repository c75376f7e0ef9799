"""The gateway continues the traces of trusted proxies only, and exports nothing by FastAPI."""

from collections.abc import Awaitable, Callable, Iterator
from ipaddress import ip_network

import pytest
from gateway_fakes.gateway import Gateway

from parley_testing.eventually import eventually
from parley_testing.recorded_spans import RecordedSpans, ids_of, recorded_spans

TRACE = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{TRACE}-b7ad6b7169203331-01"
MODELS = "GET /v1/models"
LOOPBACK = (ip_network("127.0.0.0/8"),)


@pytest.fixture
def spans() -> Iterator[RecordedSpans]:
    with recorded_spans() as recorded:
        yield recorded


async def get_models(gateway: Gateway, spans: RecordedSpans) -> None:
    async with gateway.request("GET", "/v1/models", traceparent=TRACEPARENT) as answer:
        await answer.read()
    await eventually(lambda: MODELS in spans.names)


async def test_the_trace_of_a_trusted_proxy_reaches_the_services(
    start: Callable[..., Awaitable[Gateway]], spans: RecordedSpans
) -> None:
    await get_models(await start(trusted_proxies=LOOPBACK), spans)
    entry, hop = spans.named(MODELS), spans.named("GET inference")
    assert ids_of(entry)[0] == ids_of(hop)[0] == TRACE
    assert hop.parent == entry.get_span_context()
    attributes = dict(hop.attributes or {})
    assert attributes.pop("server.port")
    assert attributes == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "server.address": "127.0.0.1",
    }


async def test_the_trace_of_a_client_is_linked(gateway: Gateway, spans: RecordedSpans) -> None:
    await get_models(gateway, spans)
    entry = spans.named(MODELS)
    assert (entry.parent, len(entry.links)) == (None, 1)
    assert ids_of(entry)[0] != TRACE
    # FastAPI would add spans of its own, with URLs.
    assert spans.names == ["GET inference", MODELS]

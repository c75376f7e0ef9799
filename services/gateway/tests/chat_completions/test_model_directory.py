"""Model lookups in a cached list."""

import asyncio
from collections.abc import Awaitable, Callable

from gateway_fakes.gateway import Gateway
from gateway_fakes.inference import Inference, model

from parley_testing.eventually import eventually
from parley_testing.fake_service import error, raw

PATH = "/v1/models/parley-demo"


async def test_concurrent_lookups_share_one_call(gateway: Gateway, inference: Inference) -> None:
    inference.stuck = asyncio.Event()
    asking = [asyncio.create_task(gateway.get(PATH)) for _ in range(3)]
    await eventually(lambda: inference.calls)
    inference.stuck.set()
    assert await asyncio.gather(*asking) == [(200, model("parley-demo"))] * 3
    assert len(inference.calls) == 1


async def test_the_list_is_refreshed_and_outlives_an_outage_of_inference(
    start: Callable[..., Awaitable[Gateway]], inference: Inference
) -> None:
    gateway = await start(constants={"chat_completions.model_directory.LIST_TTL_SECONDS": 1e-9})
    assert (await gateway.get(PATH))[0] == 200
    inference.models = []
    assert (await gateway.expect_error("GET", PATH))[:2] == (404, "model_not_found")
    inference.models = [model("parley-demo")]
    assert (await gateway.get(PATH))[0] == 200
    inference.is_unavailable = True
    assert (await gateway.get(PATH))[0] == 200


async def test_without_a_list_a_lookup_is_a_503(gateway: Gateway, inference: Inference) -> None:
    inference.answers.extend((error(503, "inference_busy"), raw(b'{"data": [{}]}')))
    for _ in range(2):
        assert (await gateway.expect_error("GET", PATH))[:2] == (503, "inference_unavailable")
    assert (await gateway.get(PATH))[0] == 200

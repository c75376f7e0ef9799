"""Names of models are looked up in a list of some seconds ago."""

import asyncio

from gateway_peers.inference import model
from gateway_peers.peer import error, raw

from parley_testing.eventually import eventually

PATH = "/v1/models/parley-demo"


async def test_whoever_asks_at_once_shares_one_call(gateway, inference):
    inference.stuck = asyncio.Event()
    asking = [asyncio.create_task(gateway.get(PATH)) for _ in range(3)]
    await eventually(lambda: inference.calls)
    inference.stuck.set()
    assert await asyncio.gather(*asking) == [(200, model("parley-demo"))] * 3
    assert len(inference.calls) == 1


async def test_the_list_is_asked_for_again_and_outlives_inference(start, inference):
    gateway = await start(constants={"chat_completions.model_directory.LIST_TTL_SECONDS": 1e-9})
    assert (await gateway.get(PATH))[0] == 200
    inference.models = []
    assert (await gateway.refusal("GET", PATH))[:2] == (404, "model_not_found")
    inference.models = [model("parley-demo")]
    assert (await gateway.get(PATH))[0] == 200
    inference.away = True
    assert (await gateway.get(PATH))[0] == 200


async def test_without_any_list_no_model_is_said_to_be_unknown(gateway, inference):
    inference.answers.extend((error(503, "inference_busy"), raw(b'{"data": [{}]}')))
    for _ in range(2):
        assert (await gateway.refusal("GET", PATH))[:2] == (503, "inference_unavailable")
    assert (await gateway.get(PATH))[0] == 200

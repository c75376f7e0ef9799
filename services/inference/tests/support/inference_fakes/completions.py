"""Calls of the completions route, and what the fake session service records of them."""

import json
from typing import Any

from inference_fakes.inference import Inference
from parley_testing.eventually import eventually
from parley_testing.session_service import FakeSessionService

BODY = {"model": "demo", "messages": [{"role": "user", "content": "12345678"}]}
STREAMING_BODY = BODY | {"stream": True}


async def streamed(inference: Inference, **more: Any) -> list[Any]:
    """The data of each event."""
    async with inference.request("POST", "/completions", body=STREAMING_BODY | more) as answer:
        assert answer.status == 200, await answer.text()
        assert answer.content_type == "text/event-stream"
        events = (await answer.text()).removesuffix("\n\n").split("\n\n")
    assert all(event.startswith("data: ") for event in events)
    data = [event.removeprefix("data: ") for event in events]
    return [one if one == "[DONE]" else json.loads(one) for one in data]


async def error(inference: Inference, body: Any = BODY) -> tuple[int, str]:
    async with inference.request("POST", "/completions", body=body) as answer:
        return answer.status, (await answer.json())["error"]["code"]


async def usage_record(session: FakeSessionService) -> dict[str, Any]:
    await eventually(lambda: session.called("completions"))
    [record] = session.called("completions")
    return dict(record)

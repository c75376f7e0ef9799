"""A stream whose model is slow to its first token, through the official `openai` package."""

from typing import Any
from uuid import uuid4

import openai
import pytest
from e2e_support.model_server import MODEL, ModelServer
from e2e_support.stack import Stack

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_the_role_precedes_the_first_token_and_is_sent_once(
    stack: Stack, model_server: ModelServer
) -> None:
    text = f"[gate 0] {uuid4()}"
    request: Any = {"model": MODEL, "messages": [{"role": "user", "content": text}]}
    async with (
        openai.AsyncOpenAI(
            base_url=f"{stack.url}/v1", api_key=stack.token("ada"), max_retries=0
        ) as client,
        # This helper of the SDK concatenates the roles of all chunks.
        client.chat.completions.stream(**request) as stream,
    ):
        first = await anext(aiter(stream))
        assert first.type == "chunk"
        assert first.chunk.choices[0].delta.role == "assistant"
        model_server.open_gate(text)
        [choice] = (await stream.get_final_completion()).choices
    assert (choice.message.role, choice.finish_reason) == ("assistant", "stop")

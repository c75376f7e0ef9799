"""OpenAI's SDK, configured for a gateway."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from openai import APIError, AsyncOpenAI, DefaultAsyncHttpxClient

from gateway_fakes.gateway import SESSION_ID, Gateway
from gateway_fakes.issuer import token

HELLO = [{"role": "user", "content": "Hello?"}]
SESSION_HEADERS = {"Parley-Session-Id": str(SESSION_ID)}


@asynccontextmanager
async def openai_client(gateway: Gateway, **options: Any) -> AsyncIterator[AsyncOpenAI]:
    given = {"max_retries": 0, "timeout": 10} | options
    # Reading the authorities that the machine trusts takes longer than a test.
    http = DefaultAsyncHttpxClient(verify=False)
    async with AsyncOpenAI(
        base_url=f"{gateway.url}/v1", api_key=token(), http_client=http, **given
    ) as client:
        yield client


def completion_request(**changes: Any) -> dict[str, Any]:
    """The parameters of a completion with the session."""
    return {
        "model": "parley-demo",
        "messages": HELLO,
        "extra_headers": SESSION_HEADERS,
        **changes,
    }


async def text_and_error(client: AsyncOpenAI, **request: Any) -> tuple[str, str | None]:
    """The text of a stream, and the code of the error that ends it."""
    text = ""
    try:
        async for chunk in await client.chat.completions.create(**request, stream=True):
            text += chunk.choices[0].delta.content or ""
    except APIError as error:
        return text, error.code
    return text, None

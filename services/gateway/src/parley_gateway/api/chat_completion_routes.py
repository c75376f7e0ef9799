"""Route of chat completions, compatible with OpenAI's API."""

from typing import Annotated

from fastapi import APIRouter, Depends, Header
from pydantic import WithJsonSchema
from starlette.responses import Response

from parley_gateway.api import examples
from parley_gateway.api.responses import ALWAYS, COMMAND, responses
from parley_gateway.chat_completions.endpoint import (
    SESSION_HEADER,
    is_sdk_retry,
)
from parley_gateway.chat_completions.parameter_support import UNSUPPORTED
from parley_gateway.chat_completions.responses import ChatCompletion
from parley_gateway.chat_completions.schemas import CreateChatCompletion
from parley_gateway.http.request_parsing import IdempotencyHeaders, JSONBody
from parley_gateway.route_dependencies import ChatCompletionsDependency, CurrentCaller

_SessionIds = Annotated[
    list[str] | None,
    Header(alias=SESSION_HEADER, description="The session that the messages belong to."),
    WithJsonSchema({"type": "string", "format": "uuid"}),
]
_RetryCount = Annotated[str, Header(alias="x-stainless-retry-count", include_in_schema=False)]


router = APIRouter(prefix="/v1", tags=["openai"])


@router.post(
    "/chat/completions",
    summary="Create a chat completion, as in OpenAI's API",
    response_model=ChatCompletion,
    responses=responses(
        {200: examples.completion_example()},
        COMMAND,
        {
            400: (
                "invalid_request",
                UNSUPPORTED,
                "context_length_exceeded",
                "context_too_long",
                "upstream_refused",
            ),
            404: ("model_not_found", "session_not_found"),
            409: ("turn_open", "session_full", "cancelled"),
            413: ("message_too_large", "body_too_large"),
            429: (
                "too_many_turns",
                "too_many_streams",
                "too_many_completions",
                "too_much_content",
                "quota_exceeded",
                "upstream_quota_exceeded",
                "upstream_rate_limited",
            ),
            500: ("internal_error", "internal"),
            502: (
                "upstream_refused",
                "upstream_unauthorized",
                "upstream_model_not_found",
                "upstream_not_found",
                "upstream_garbage",
                "upstream_broken",
                "upstream_empty",
                "upstream_tool_calls",
                "upstream_filtered",
            ),
            503: (
                *ALWAYS[503],
                "gateway_busy",
                "inference_unavailable",
                "inference_busy",
                "upstream_unavailable",
                "upstream_busy",
                "interrupted",
            ),
            504: ("reply_pending", "upstream_timeout"),
        },
    ),
)
async def create_chat_completion(
    caller: CurrentCaller,
    chat_completions: ChatCompletionsDependency,
    headers: IdempotencyHeaders,
    body: Annotated[CreateChatCompletion, Depends(JSONBody(CreateChatCompletion))],
    session_ids: _SessionIds = None,
    retry_count: _RetryCount = "0",
) -> Response:
    """OpenAI's SDKs work with `base_url` set to `…/v1` and a token as the API key.
    Parameters are passed to the model server, also those that OpenAI's API does not have;
    the few that are not supported are a 400 with `param` and code `unsupported_parameter`.

    **Without a session** the request is forwarded to the model server, tools included, and its
    response is relayed as it arrives, except for `id` and `model`. Only token usage is
    recorded. Disconnecting ends the completion. `Idempotency-Key` is ignored.

    **With a session**, named by the `Parley-Session-Id` header or `metadata.session_id`, the
    `user` messages after the request's last `assistant` message are new: they are appended, the
    last of them is replied to, and the model is shown the session's own history. Messages
    before them are ignored, but no message may have the role `system`, `developer` or `tool`.
    New messages are text; their text parts are joined by newlines. `model` and the
    parameters are those of this reply only. The response has the headers `Parley-Session-Id`
    and `Parley-Turn-Id`; its `id` is derived from the turn's. The reply continues when a client
    disconnects: `Idempotency-Key` works as in submitMessage, and an SDK's automatic retry
    (`x-stainless-retry-count`) without a key attaches to the session's newest turn if these
    messages opened it.

    With `stream: true` the response is `text/event-stream`: chunks, then `[DONE]`. Chunks of a
    session carry the requested model, the last ones the model that replied. Comments are
    heartbeats. An error after the first byte is `data: {"error": …}` (schema ErrorResponse),
    the last event. A cancelled reply is an error too, code `cancelled`, streamed or not:
    truncated text must not be mistaken for a whole reply. The session's history has the partial
    text.
    """
    return chat_completions.create(
        body, caller, headers, session_ids or (), is_retry=is_sdk_retry(retry_count)
    )

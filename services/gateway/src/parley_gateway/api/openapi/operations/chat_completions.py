"""What OpenAI's clients know: chat completions, and a model by its name."""

from parley_gateway.api.openapi.operations.operation import EVERY, KEYED, SENT, Operation
from parley_gateway.api.openapi.operations.turns import EVENT_STREAM
from parley_gateway.chat_completions.parameter_support import UNSUPPORTED
from parley_gateway.chat_completions.responses import ChatCompletion
from parley_gateway.chat_completions.schemas import CreateChatCompletion
from parley_gateway.schemas.responses import Model

_DESCRIPTION = f"""\
OpenAI's SDKs work with `base_url` set to `…/v1` and a token as the API key. What is not supported
is 400 with `param`, code `{UNSUPPORTED}`.

**Without a session** the request is passed on to the model server, tools and all, and its answer
is passed on as it comes, but for `id` and `model`. Nothing is kept but what it used. A client that
leaves ends it. `Idempotency-Key` is refused.

**Of a session**, where the `Parley-Session-Id` header or `metadata.session_id` names one, the
`user` messages after the request's last `assistant` one are new: they are appended, the last of
them is replied to, and the model is shown the session's own history. What precedes them is
ignored, but no message may have the role `system`, `developer` or `tool`. New ones are text; their
text parts are joined by newlines. `model` is the model of this reply. The answer has the headers
`Parley-Session-Id` and `Parley-Turn-Id`; its `id` is the turn's. The reply goes on when a client
leaves: `Idempotency-Key` works as in submitMessage, and where an SDK asks again of itself
(`x-stainless-retry-count`) without one, and the session's newest turn was opened by just these
messages, it gets that turn.

With `stream: true` the answer is `text/event-stream`: chunks, then `[DONE]`. Chunks of a session
name the requested model, the last ones the model that answered. Comments are heartbeats. What goes
wrong after the first byte is `data: {{"error": …}}` (schema ErrorResponse), the last event. A reply
that was cancelled is an error too, code `cancelled`, streamed or not: text that was cut must not
be taken for a whole reply. The session's history has what there is of it."""
_SESSION_ID = {
    "name": "Parley-Session-Id",
    "in": "header",
    "required": False,
    "description": "The session that the messages are for.",
    "schema": {"type": "string", "format": "uuid"},
}

COMPLETIONS = (
    Operation(
        "post",
        "/v1/chat/completions",
        "createChatCompletion",
        "Reply to messages, as OpenAI's API does",
        {200: ChatCompletion},
        (
            EVERY,
            SENT,
            KEYED,
            {
                400: ("invalid_request", UNSUPPORTED, "context_too_long"),
                404: ("model_not_found", "session_not_found"),
                409: ("turn_open", "session_full", "cancelled"),
                413: ("message_too_large", "body_too_large"),
                429: ("upstream_rate_limited",),
                500: ("internal_error", "internal"),
                502: ("upstream_refused", "upstream_garbage", "upstream_broken"),
                503: (
                    *EVERY[503],
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
        body=CreateChatCompletion,
        description=_DESCRIPTION,
        streams=(EVENT_STREAM,),
        headers=(_SESSION_ID,),
        tag="openai",
    ),
    Operation(
        "get",
        "/v1/models/{model}",
        "readModel",
        "Read a model",
        {200: Model},
        (
            EVERY,
            {
                404: ("model_not_found",),
                503: ("inference_unavailable", "inference_busy", "keys_unavailable"),
            },
        ),
        tag="catalogue",
    ),
)

"""The request body of chat completions: the parameters of OpenAI's API, and those of other servers.

Source: https://platform.openai.com/docs/api-reference/chat/create
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, WithJsonSchema

from parley_gateway.schemas.fields import Metadata, RequestModel

# Validation blocks the event loop: for a body full of the smallest messages, for seconds.
MAX_MESSAGES = 2_048
MAX_CHOICES = 8
MAX_TOOLS = 128
MAX_UNLISTED_PARAMETERS = 32

_Object = dict[str, JsonValue]
_Penalty = Annotated[float, Field(ge=-2, le=2)]
_Tokens = Annotated[int, Field(ge=1, le=2**31 - 1)]
_Hint = Annotated[str, Field(max_length=512)]


_PART = {"type": "object", "properties": {"type": {"type": "string"}}, "required": ["type"]}
_CONTENT = {"anyOf": [{"type": "string"}, {"type": "array", "items": _PART}, {"type": "null"}]}


class CompletionMessage(BaseModel):
    """Other fields are passed to the model server."""

    model_config = ConfigDict(extra="allow", strict=True, hide_input_in_errors=True)
    __pydantic_extra__: dict[str, JsonValue]

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: Annotated[JsonValue, WithJsonSchema(_CONTENT)] = Field(
        None, description="Text, or a list of parts, each of which has a `type`."
    )


class StreamOptions(RequestModel):
    include_usage: bool | None = Field(None, description="Adds a last chunk with the usage.")
    include_obfuscation: bool | None = None


class CreateChatCompletion(RequestModel):
    """All parameters are passed to the model server, also those that are not listed here, such as
    `top_k` or `chat_template_kwargs`; of those at most 32. null equals absence.
    """

    model_config = ConfigDict(extra="allow", strict=True, hide_input_in_errors=True)
    __pydantic_extra__: dict[str, JsonValue]

    model: str = Field(min_length=1, max_length=200, examples=["parley-demo"])
    messages: list[CompletionMessage] = Field(
        min_length=1,
        max_length=MAX_MESSAGES,
        examples=[[{"role": "user", "content": "Hello! My name is Ada."}]],
    )
    stream: bool | None = None
    stream_options: StreamOptions | None = Field(None, description="Requires `stream: true`.")
    metadata: Metadata | None = Field(
        None,
        description="`session_id` names the session; other entries are not stored.",
        examples=[{"session_id": "0199c1f0-7a10-7c52-9d3e-6f1a2b3c4d5e"}],
    )

    user: _Hint | None = None
    safety_identifier: _Hint | None = None
    prompt_cache_key: _Hint | None = None
    n: Annotated[int, Field(ge=1, le=MAX_CHOICES)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    frequency_penalty: _Penalty | None = None
    presence_penalty: _Penalty | None = None
    max_tokens: _Tokens | None = None
    max_completion_tokens: _Tokens | None = None
    stop: JsonValue = None
    seed: int | None = None
    logit_bias: dict[str, float] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    response_format: _Object | None = None
    reasoning_effort: _Hint | None = None
    verbosity: _Hint | None = None
    prediction: _Object | None = None
    tools: Annotated[list[_Object], Field(max_length=MAX_TOOLS)] | None = None
    tool_choice: JsonValue = None
    parallel_tool_calls: bool | None = None
    functions: Annotated[list[_Object], Field(max_length=MAX_TOOLS)] | None = None
    function_call: JsonValue = None
    store: bool | None = None
    service_tier: _Hint | None = None
    modalities: list[_Hint] | None = None
    audio: JsonValue = None
    moderation: JsonValue = None
    web_search_options: JsonValue = None
    prompt_cache_options: JsonValue = None
    prompt_cache_retention: JsonValue = None

"""Support matrix of chat completion parameters, with and without a session."""

from collections.abc import Mapping
from typing import Any

from parley_core.http.errors import InvalidRequest
from parley_gateway.chat_completions.schemas import CompletionMessage, CreateChatCompletion

UNSUPPORTED = "unsupported_parameter"

Unsupported = Mapping[str, tuple[tuple[Any, ...], str]]
"""By parameter: the values that equal the default, and the error message for all others."""

_TEXT_ONLY = "Only text replies are supported. Omit this parameter."
_UNSUPPORTED = "Unsupported parameter."
_UNSUPPORTED_ANYWHERE: Unsupported = {
    "store": (
        (False,),
        "Omit this parameter; conversations are stored when the request names a session.",
    ),
    "service_tier": (("auto", "default"), "There is only one service tier. Omit this parameter."),
    "modalities": ((["text"],), _TEXT_ONLY),
    "audio": ((), _TEXT_ONLY),
    "moderation": ((), _UNSUPPORTED),
    "web_search_options": ((), _UNSUPPORTED),
    "prompt_cache_options": ((), _UNSUPPORTED),
    "prompt_cache_retention": ((), _UNSUPPORTED),
}
_NOT_IN_SESSION = (
    "Not supported in a session. Omit this parameter, or send the request without a session."
)
_NO_TOOLS = (
    "Tools are not supported in a session. Omit this parameter, or send the request without a "
    "session."
)
_UNSUPPORTED_IN_SESSION: Unsupported = {
    "n": ((1,), _NOT_IN_SESSION),
    "temperature": ((1,), _NOT_IN_SESSION),
    "top_p": ((1,), _NOT_IN_SESSION),
    "frequency_penalty": ((0,), _NOT_IN_SESSION),
    "presence_penalty": ((0,), _NOT_IN_SESSION),
    "max_tokens": ((), _NOT_IN_SESSION),
    "max_completion_tokens": ((), _NOT_IN_SESSION),
    "stop": (([],), _NOT_IN_SESSION),
    "seed": ((), _NOT_IN_SESSION),
    "logit_bias": (({},), _NOT_IN_SESSION),
    "logprobs": ((False,), _NOT_IN_SESSION),
    "top_logprobs": ((0,), _NOT_IN_SESSION),
    "response_format": (({"type": "text"},), _NOT_IN_SESSION),
    "reasoning_effort": ((), _NOT_IN_SESSION),
    "verbosity": (("medium",), _NOT_IN_SESSION),
    "prediction": ((), _NOT_IN_SESSION),
    "tools": (([],), _NO_TOOLS),
    "tool_choice": (("none", "auto"), _NO_TOOLS),
    "parallel_tool_calls": ((True, False), _NO_TOOLS),
    "functions": (([],), _NO_TOOLS),
    "function_call": (("none", "auto"), _NO_TOOLS),
}
_NOT_FORWARDED = {"metadata", *_UNSUPPORTED_ANYWHERE}


def check_supported(request: CreateChatCompletion) -> None:
    """Raises InvalidRequest."""
    _check(request, _UNSUPPORTED_ANYWHERE)
    options = request.stream_options
    if options is not None and not request.stream:
        raise InvalidRequest("Requires `stream: true`.", param="stream_options")
    if options is not None and options.include_obfuscation:
        raise InvalidRequest(
            _UNSUPPORTED, code=UNSUPPORTED, param="stream_options.include_obfuscation"
        )
    for index, entry in enumerate(request.messages):
        _check_content(entry, f"messages.{index}.content")


def check_supported_in_session(request: CreateChatCompletion) -> None:
    """Raises InvalidRequest."""
    _check(request, _UNSUPPORTED_IN_SESSION)


def to_upstream_parameters(request: CreateChatCompletion) -> bytes:
    """The body for inference, without the parameters that only the gateway uses."""
    explicit = {name for name in request.model_fields_set if getattr(request, name) is not None}
    included: dict[str, Any] = dict.fromkeys(explicit - _NOT_FORWARDED, True)
    if "stream_options" in included:
        included["stream_options"] = {"include_usage"}
    return request.model_dump_json(include=included, exclude_unset=True).encode()


def _check(request: CreateChatCompletion, unsupported: Unsupported) -> None:
    for name, (defaults, message) in unsupported.items():
        value = getattr(request, name)
        if value is not None and value not in defaults:
            raise InvalidRequest(message, code=UNSUPPORTED, param=name)


def _check_content(message: CompletionMessage, param: str) -> None:
    content = message.content
    if content is None or isinstance(content, str):
        return
    if not isinstance(content, list):
        raise InvalidRequest("Input should be text or a list of parts.", param=param)
    for index, part in enumerate(content):
        if not isinstance(part, dict) or not isinstance(part.get("type"), str):
            raise InvalidRequest("A content part must have a type.", param=f"{param}.{index}")

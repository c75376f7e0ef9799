"""Which parameters of a chat completion are refused, and what to do instead."""

from collections.abc import Mapping
from typing import Any

from parley_core.http.errors import InvalidRequest
from parley_gateway.chat_completions.schemas import CompletionMessage, CreateChatCompletion

UNSUPPORTED = "unsupported_parameter"

Refused = Mapping[str, tuple[tuple[Any, ...], str]]
"""By parameter: the values that say no more than null does, and a sentence about all others."""

_TEXT_ONLY = "Replies are text here: leave it out."
_UNKNOWN = "There is no such thing here: leave it out."
_NOWHERE: Refused = {
    "store": ((False,), "Leave it out; a conversation is kept where the request names a session."),
    "service_tier": (("auto", "default"), "There is one tier here: leave it out."),
    "modalities": ((["text"],), _TEXT_ONLY),
    "audio": ((), _TEXT_ONLY),
    "moderation": ((), _UNKNOWN),
    "web_search_options": ((), _UNKNOWN),
    "prompt_cache_options": ((), _UNKNOWN),
    "prompt_cache_retention": ((), _UNKNOWN),
}
_NOT_CARRIED = "A session does not carry this: leave it out, or ask without a session."
_NO_TOOLS = "Tools are not called in a session: leave this out, or ask without a session."
_NOT_IN_A_SESSION: Refused = {
    "n": ((1,), _NOT_CARRIED),
    "temperature": ((1,), _NOT_CARRIED),
    "top_p": ((1,), _NOT_CARRIED),
    "frequency_penalty": ((0,), _NOT_CARRIED),
    "presence_penalty": ((0,), _NOT_CARRIED),
    "max_tokens": ((), _NOT_CARRIED),
    "max_completion_tokens": ((), _NOT_CARRIED),
    "stop": (([],), _NOT_CARRIED),
    "seed": ((), _NOT_CARRIED),
    "logit_bias": (({},), _NOT_CARRIED),
    "logprobs": ((False,), _NOT_CARRIED),
    "top_logprobs": ((0,), _NOT_CARRIED),
    "response_format": (({"type": "text"},), _NOT_CARRIED),
    "reasoning_effort": ((), _NOT_CARRIED),
    "verbosity": (("medium",), _NOT_CARRIED),
    "prediction": ((), _NOT_CARRIED),
    "tools": (([],), _NO_TOOLS),
    "tool_choice": (("none", "auto"), _NO_TOOLS),
    "parallel_tool_calls": ((True, False), _NO_TOOLS),
    "functions": (([],), _NO_TOOLS),
    "function_call": (("none", "auto"), _NO_TOOLS),
}
_NOT_FOR_THE_SERVER = {"metadata", *_NOWHERE}


def check_supported(asked: CreateChatCompletion) -> None:
    """Raises InvalidRequest."""
    _check(asked, _NOWHERE)
    options = asked.stream_options
    if options is not None and not asked.stream:
        raise InvalidRequest("This is for `stream: true` only.", param="stream_options")
    if options is not None and options.include_obfuscation:
        raise InvalidRequest(_UNKNOWN, code=UNSUPPORTED, param="stream_options.include_obfuscation")
    for at, message in enumerate(asked.messages):
        _check_content(message, f"messages.{at}.content")


def check_supported_in_session(asked: CreateChatCompletion) -> None:
    """Raises InvalidRequest."""
    _check(asked, _NOT_IN_A_SESSION)


def to_upstream_parameters(asked: CreateChatCompletion) -> bytes:
    """The request as inference takes it, without what only the gateway reads."""
    given = {name for name in asked.model_fields_set if getattr(asked, name) is not None}
    named: dict[str, Any] = dict.fromkeys(given - _NOT_FOR_THE_SERVER, True)
    if "stream_options" in named:
        named["stream_options"] = {"include_usage"}
    return asked.model_dump_json(include=named, exclude_unset=True).encode()


def _check(asked: CreateChatCompletion, refused: Refused) -> None:
    for name, (accepted, sentence) in refused.items():
        value = getattr(asked, name)
        if value is not None and value not in accepted:
            raise InvalidRequest(sentence, code=UNSUPPORTED, param=name)


def _check_content(message: CompletionMessage, param: str) -> None:
    content = message.content
    if content is None or isinstance(content, str):
        return
    if not isinstance(content, list):
        raise InvalidRequest("Input should be text or a list of parts.", param=param)
    for at, part in enumerate(content):
        if not isinstance(part, dict) or not isinstance(part.get("type"), str):
            raise InvalidRequest("Input should be a part with a type.", param=f"{param}.{at}")

"""Which parameters of a chat completion reach the model server, with and without a session."""

from collections.abc import Mapping, Set
from typing import Any

import msgspec

from parley_contracts.session_api.limits import MAX_PARAMETERS_BYTES
from parley_core.http.errors import InvalidRequest
from parley_gateway.chat_completions.schemas import (
    MAX_UNLISTED_PARAMETERS,
    CompletionMessage,
    CreateChatCompletion,
)

UNSUPPORTED = "unsupported_parameter"


_MAX_PARAM_LENGTH = 256
# Parley reads these itself.
_OWN = frozenset(("model", "messages", "stream", "stream_options", "metadata"))
# Values that ask for nothing: accepted, and left out, where the parameter is not supported.
_NEUTRAL_VALUES: Mapping[str, tuple[Any, ...]] = {
    "n": (1,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "parallel_tool_calls": (True, False),
    "functions": ([],),
    "function_call": ("none", "auto"),
    "modalities": (["text"],),
    "store": (False,),
    "service_tier": ("auto", "default"),
}
# A turn has one reply, which is a text.
_NOT_IN_SESSION = frozenset(
    (
        "n",
        "logprobs",
        "top_logprobs",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "functions",
        "function_call",
        "modalities",
        "audio",
        "web_search_options",
    )
)


class ParameterSupport:
    """`rejected` are the parameters that the operator does not pass to model servers."""

    def __init__(self, rejected: Set[str]) -> None:
        self._rejected = rejected

    def upstream_body(self, request: CreateChatCompletion) -> bytes:
        """The body for inference. Raises InvalidRequest for a parameter that is not supported."""
        included: dict[str, Any] = dict.fromkeys(self._parameters(request), True)
        included |= dict.fromkeys(("model", "messages"), True)
        if request.stream is not None:
            included["stream"] = True
        if request.stream_options is not None:
            included["stream_options"] = {"include_usage"}
        return request.model_dump_json(include=included, exclude_unset=True).encode()

    def turn_parameters(self, request: CreateChatCompletion) -> dict[str, Any]:
        """The parameters of a turn. Raises InvalidRequest."""
        given = self._parameters(request)
        parameters = _without(
            given,
            _NOT_IN_SESSION,
            "is not supported in a session. Omit it, or send the request without a session.",
        )
        sizes = {name: len(msgspec.json.encode(value)) for name, value in parameters.items()}
        if sum(sizes.values()) > MAX_PARAMETERS_BYTES:
            largest = max(sizes, key=sizes.__getitem__)[:_MAX_PARAM_LENGTH]
            raise InvalidRequest(
                f"`{largest}` is too large: the parameters of a turn have at most "
                f"{MAX_PARAMETERS_BYTES // 1024} KiB as JSON.",
                param=largest,
            )
        return parameters

    def _parameters(self, request: CreateChatCompletion) -> dict[str, Any]:
        _check_own(request)
        given = {
            name: value
            for name, value in request
            if value is not None and name in request.model_fields_set and name not in _OWN
        }
        return _without(given, self._rejected, "is not passed to the model server. Omit it.")


def _without(given: Mapping[str, Any], names: Set[str], reason: str) -> dict[str, Any]:
    for name, value in given.items():
        if name in names and value not in _NEUTRAL_VALUES.get(name, ()):
            name = name[:_MAX_PARAM_LENGTH]
            raise InvalidRequest(f"`{name}` {reason}", code=UNSUPPORTED, param=name)
    return {name: value for name, value in given.items() if name not in names}


def _check_own(request: CreateChatCompletion) -> None:
    unlisted = [*request.__pydantic_extra__]
    if len(unlisted) > MAX_UNLISTED_PARAMETERS:
        param = unlisted[MAX_UNLISTED_PARAMETERS][:_MAX_PARAM_LENGTH]
        raise InvalidRequest(
            f"`{param}` is one too many: a request has at most {MAX_UNLISTED_PARAMETERS} "
            "parameters that the OpenAPI document does not list.",
            param=param,
        )
    options = request.stream_options
    if options is not None and not request.stream:
        raise InvalidRequest("`stream_options` requires `stream: true`.", param="stream_options")
    if options is not None and options.include_obfuscation:
        param = "stream_options.include_obfuscation"
        raise InvalidRequest(f"`{param}` is not supported.", code=UNSUPPORTED, param=param)
    for index, entry in enumerate(request.messages):
        _check_content(entry, f"messages.{index}.content")


def _check_content(message: CompletionMessage, param: str) -> None:
    content = message.content
    if content is None or isinstance(content, str):
        return
    if not isinstance(content, list):
        raise InvalidRequest(f"`{param}` should be text or a list of parts.", param=param)
    for index, part in enumerate(content):
        if not isinstance(part, dict) or not isinstance(part.get("type"), str):
            param = f"{param}.{index}"
            raise InvalidRequest(f"`{param}` should be a part with a type.", param=param)

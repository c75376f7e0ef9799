"""Selects the messages of a chat completion that are new to its session."""

from collections.abc import Sequence

from parley_contracts.session_api.limits import MAX_PRECEDING_MESSAGES
from parley_core.http.errors import InvalidRequest
from parley_gateway.chat_completions.parameter_support import UNSUPPORTED
from parley_gateway.chat_completions.schemas import CompletionMessage
from parley_gateway.http.request_parsing import check_size

_INSTRUCTIONS = (
    "A session uses the instructions of its assistant. Omit this message, or send the request "
    "without a session."
)
_TOOLS = (
    "Tools are not supported in a session. Omit this message, or send the request without a "
    "session."
)
_ROLES = {
    "system": _INSTRUCTIONS,
    "developer": _INSTRUCTIONS,
    "tool": _TOOLS,
    "function": _TOOLS,
}


def new_texts(messages: Sequence[CompletionMessage]) -> list[str]:
    """The texts of the `user` messages after the last assistant message; at least one.

    Raises InvalidRequest, TooLarge.
    """
    first = 0
    for index, message in enumerate(messages):
        if message.role in _ROLES:
            raise InvalidRequest(
                _ROLES[message.role], code=UNSUPPORTED, param=f"messages.{index}.role"
            )
        if message.role == "assistant":
            first = index + 1
    if first == len(messages):
        raise InvalidRequest("The last message must have the role user.", param="messages")
    if len(messages) - first > MAX_PRECEDING_MESSAGES + 1:
        raise InvalidRequest(
            f"A request adds at most {MAX_PRECEDING_MESSAGES + 1} new messages to a session.",
            param="messages",
        )
    return [_text(messages[index], f"messages.{index}") for index in range(first, len(messages))]


def _text(message: CompletionMessage, param: str) -> str:
    for name, value in message.__pydantic_extra__.items():
        if value is not None:
            raise InvalidRequest(
                "A message of a session has only a role and a content.",
                code=UNSUPPORTED,
                param=f"{param}.{name}"[:256],
            )
    content, param = message.content, f"{param}.content"
    if isinstance(content, list):
        content = "\n".join(_part(part, f"{param}.{index}") for index, part in enumerate(content))
    if not isinstance(content, str) or not content:
        raise InvalidRequest("Message content must be text.", param=param)
    check_size(content, param)
    return content


def _part(part: object, param: str) -> str:
    if isinstance(part, dict) and part.get("type") == "text":
        text = part.get("text")
        if isinstance(text, str):
            return text
        raise InvalidRequest("Input should be a valid string.", param=f"{param}.text")
    raise InvalidRequest(
        "Messages of a session are text. Omit this part, or send the request without a session.",
        code=UNSUPPORTED,
        param=f"{param}.type",
    )

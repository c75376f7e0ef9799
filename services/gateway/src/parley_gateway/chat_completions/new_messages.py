"""Which messages of a chat completion are new to its session: it has the others already."""

from collections.abc import Sequence

from parley_core.http.errors import InvalidRequest
from parley_gateway.chat_completions.parameter_support import UNSUPPORTED
from parley_gateway.chat_completions.schemas import CompletionMessage
from parley_gateway.http.request_parsing import check_size

MOST_PRECEDING = 20
_INSTRUCTIONS = (
    "A session has the instructions of its assistant: leave this message out, or ask without a "
    "session."
)
_TOOLS = "Tools are not called in a session: leave this message out, or ask without a session."
_ROLES = {
    "system": _INSTRUCTIONS,
    "developer": _INSTRUCTIONS,
    "tool": _TOOLS,
    "function": _TOOLS,
}


def new_texts(messages: Sequence[CompletionMessage]) -> list[str]:
    """The texts of the `user` messages after the last one of the assistant; at least one.

    Raises InvalidRequest, TooLarge.
    """
    first = 0
    for at, message in enumerate(messages):
        if message.role in _ROLES:
            raise InvalidRequest(
                _ROLES[message.role], code=UNSUPPORTED, param=f"messages.{at}.role"
            )
        if message.role == "assistant":
            first = at + 1
    if first == len(messages):
        raise InvalidRequest("The last message should be the user's.", param="messages")
    if len(messages) - first > MOST_PRECEDING + 1:
        raise InvalidRequest(
            f"A request brings at most {MOST_PRECEDING + 1} new messages to a session.",
            param="messages",
        )
    return [_text(messages[at], f"messages.{at}") for at in range(first, len(messages))]


def _text(message: CompletionMessage, param: str) -> str:
    for name, value in message.__pydantic_extra__.items():
        if value is not None:
            raise InvalidRequest(
                "A message of a session has a role and a content only.",
                code=UNSUPPORTED,
                param=f"{param}.{name}"[:256],
            )
    content, param = message.content, f"{param}.content"
    if isinstance(content, list):
        content = "\n".join(_part(part, f"{param}.{at}") for at, part in enumerate(content))
    if not isinstance(content, str) or not content:
        raise InvalidRequest("A message of a session has a text.", param=param)
    check_size(content, param)
    return content


def _part(part: object, param: str) -> str:
    if isinstance(part, dict) and part.get("type") == "text":
        text = part.get("text")
        if isinstance(text, str):
            return text
        raise InvalidRequest("Input should be a valid string.", param=f"{param}.text")
    raise InvalidRequest(
        "Messages of a session are text: leave this part out, or ask without a session.",
        code=UNSUPPORTED,
        param=f"{param}.type",
    )

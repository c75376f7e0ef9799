"""An error response of a model server: its fields in the forms of the common servers.

OpenAI, Azure, Groq, Ollama and newer vLLM send `{"error": {"message", "type", "param", "code"}}`.
Older vLLM and Mistral have these fields at the top, llama.cpp and LiteLLM repeat the status as the
code, Gemini wraps the object in a list, and FastAPI sends `{"detail": …}`.
"""

import json
import re
from dataclasses import dataclass, field
from typing import Any

MAX_BODY_BYTES = 64 * 1024
"""Maximum size of an error's body that is read."""

# Anything else may be a text that a person wrote.
_LOGGABLE = re.compile(r"[A-Za-z0-9_.\[\]-]{1,64}")
_MAX_TEXT_LENGTH = 1_000
_ERROR_STATUS = re.compile("[45][0-9][0-9]")


@dataclass(frozen=True, slots=True)
class ServerError:
    """`str()` may be logged and shown; `message` may quote the prompt, and is for its author only.

    `status` is the HTTP status, or the one that an error within a stream names.
    """

    status: int
    message: str = field(default="", repr=False)
    type: str | None = field(default=None, repr=False)
    code: str | None = field(default=None, repr=False)
    param: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        fields = {"type": self.type, "code": self.code, "param": self.param}
        named = [
            f"{name} {value}"
            for name, value in fields.items()
            if value is not None and _LOGGABLE.fullmatch(value)
        ]
        return ", ".join((f"status {self.status}", *named))


def parse_server_error(status: int, body: bytes) -> ServerError:
    """Never raises: an error that cannot be parsed has its status only."""
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        return ServerError(status, _plain_text(body))
    return _from_json(status, parsed)


def parse_stream_error(data: bytes) -> ServerError:
    """The error of an event that a server sent in place of a chunk. Never raises.

    Servers put the HTTP status that it stands for in `code` or `status`.
    """
    try:
        fields = _fields(json.loads(data))
    except (ValueError, RecursionError):
        return ServerError(500)
    known = _STATUSES.get(_text(fields.get("code")) or "")
    for value in map(str, (fields.get("code"), fields.get("status"), known)):
        if _ERROR_STATUS.fullmatch(value):
            return _from_json(int(value), fields)
    return _from_json(500, fields)


_STATUSES = {
    "context_length_exceeded": 400,
    "content_filter": 400,
    "rate_limit_exceeded": 429,
    "insufficient_quota": 429,
}


def _from_json(status: int, parsed: Any) -> ServerError:
    fields = _fields(parsed)
    message = fields.get("message", fields.get("detail", ""))
    code = _text(fields.get("code"))
    return ServerError(
        status,
        _encodable(message) if isinstance(message, str) else json.dumps(message),
        _text(fields.get("type")) or _text(fields.get("status")),
        None if code == str(status) else code,
        _text(fields.get("param")),
    )


def _fields(parsed: Any) -> dict[str, Any]:
    """The object that describes the error."""
    if isinstance(parsed, list):
        parsed = parsed[0] if parsed else None
    if not isinstance(parsed, dict):
        return {}
    error = parsed.get("error")
    if isinstance(error, dict):
        return error
    if isinstance(error, str):
        return {"message": error, "type": parsed.get("error_type")}
    return parsed


def _text(value: Any) -> str | None:
    if type(value) is int:
        return str(value)
    return _encodable(value[:_MAX_TEXT_LENGTH]) if isinstance(value, str) and value else None


def _encodable(text: str) -> str:
    """Replace unpaired surrogates, which JSON escapes may contain and UTF-8 may not."""
    return text.encode(errors="replace").decode()


def _plain_text(body: bytes) -> str:
    """A text, but not the HTML page of a proxy."""
    text = body.decode(errors="replace").strip()
    return "" if text.startswith("<") else text[:_MAX_TEXT_LENGTH]
